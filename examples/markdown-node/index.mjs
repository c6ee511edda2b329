// Markdown in, safe HTML out, with a table of contents, a word count and the time it takes to read.
import { render } from './markdown.mjs';

const SIZE_MAX = 256 * 1024;
const WORDS_PER_MINUTE = 230;

export const handler = async event => {
  const method = event.requestContext?.http?.method ?? 'POST';
  if (method === 'GET') {
    return answer(200, { usage: 'POST Markdown, as text or as JSON: {"markdown": "…"}' });
  }
  if (method !== 'POST') {
    return answer(405, { error: 'POST Markdown' }, { allow: 'GET, POST' });
  }
  const { markdown, problem } = read(event);
  if (problem) {
    console.warn('refused:', problem);
    return answer(400, { error: problem });
  }
  const started = performance.now();
  const { html, contents, links, text } = render(markdown);
  const words = count(text);
  console.log('rendered %d words, %d headings in %s ms',
    words, contents.length, (performance.now() - started).toFixed(2));
  if (event.headers?.accept?.startsWith('text/html')) {
    return { statusCode: 200, headers: { 'content-type': 'text/html; charset=utf-8' }, body: html };
  }
  return answer(200, {
    html,
    contents,
    links,
    words,
    characters: [...text].length,
    readingMinutes: Math.max(1, Math.round(words / WORDS_PER_MINUTE)),
  });
};

function read(event) {
  let body = event.body ?? '';
  if (event.isBase64Encoded) body = Buffer.from(body, 'base64').toString('utf8');
  if (body.length > SIZE_MAX) return { problem: `more than ${SIZE_MAX} characters` };
  const type = event.headers?.['content-type'] ?? '';
  // What looks like our JSON is taken for it, whatever curl says it is.
  if (!type.includes('json') && !body.trimStart().startsWith('{')) return { markdown: body };
  try {
    const { markdown } = JSON.parse(body);
    if (typeof markdown === 'string') return { markdown };
    return { problem: 'the JSON has no text named "markdown"' };
  } catch (error) {
    return { problem: `not JSON: ${error.message}` };
  }
}

function answer(statusCode, body, headers = {}) {
  return {
    statusCode,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  };
}

function count(text) {
  const segmenter = new Intl.Segmenter(undefined, { granularity: 'word' });
  let words = 0;
  for (const { isWordLike } of segmenter.segment(text)) words += isWordLike ? 1 : 0;
  return words;
}
