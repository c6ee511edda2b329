// A small Markdown: headings, paragraphs, quotes, lists, code, tables and rules; emphasis, code,
// links, images and line breaks within them.
//
// Safe by construction: the text's own markup never gets through, as everything is escaped and
// only tags from this file are written, and a link leads to http, https or mailto, or to a place
// on the same site.

const DEPTH_MAX = 16;

export function render(markdown) {
  const document = { contents: [], links: [], text: [], ids: new Map() };
  const lines = markdown.replace(/\r\n?/g, '\n').replace(/\0/g, '\ufffd').split('\n');
  const html = blocks(lines, document, 0);
  return {
    html,
    contents: document.contents,
    links: document.links,
    text: document.text.join(' '),
  };
}

// Each takes the lines from `at` on and gives back the block and where it ends, or nothing.
const BLOCKS = [code, heading, rule, quote, list, table];

function blocks(lines, document, depth) {
  const out = [];
  let at = 0;
  while (at < lines.length) {
    if (!lines[at].trim()) {
      at++;
      continue;
    }
    let block;
    for (const read of BLOCKS) {
      block = read(lines, at, document, depth);
      if (block) break;
    }
    block ??= paragraph(lines, at, document, depth);
    out.push(block.html);
    at = block.end;
  }
  return out.join('\n');
}

function code(lines, at, document) {
  const open = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)[^`]*$/.exec(lines[at]);
  if (!open) return null;
  const [, fence, language] = open;
  const inside = [];
  let end = at + 1;
  while (end < lines.length && !isClosing(lines[end], fence)) inside.push(lines[end++]);
  document.text.push(inside.join('\n'));
  const type = language ? ` class="language-${escape(language)}"` : '';
  const text = inside.map(line => `${escape(line)}\n`).join('');
  return { html: `<pre><code${type}>${text}</code></pre>`, end: end + 1 };
}

function isClosing(line, fence) {
  const text = line.trim();
  return text.length >= fence.length && text === fence[0].repeat(text.length);
}

function heading(lines, at, document) {
  const match = /^ {0,3}(#{1,6})(?!\S)(.*)$/.exec(lines[at]);
  if (!match) return null;
  const level = match[1].length;
  const inner = inline(withoutClosing(match[2].trim()), document);
  const text = bare(inner);
  const id = unique(slug(text), document.ids);
  document.contents.push({ level, text, id });
  return { html: `<h${level} id="${id}">${inner}</h${level}>`, end: at + 1 };
}

// A heading may end with as many # as one likes, if a space comes before them.
function withoutClosing(text) {
  let end = text.length;
  while (text[end - 1] === '#') end--;
  return end === 0 || /\s/.test(text[end - 1]) ? text.slice(0, end).trimEnd() : text;
}

function rule(lines, at) {
  const isRule = /^ {0,3}(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})$/.test(lines[at]);
  return isRule ? { html: '<hr>', end: at + 1 } : null;
}

function quote(lines, at, document, depth) {
  if (!/^ {0,3}>/.test(lines[at]) || depth >= DEPTH_MAX) return null;
  const inside = [];
  let end = at;
  while (end < lines.length && /^ {0,3}>/.test(lines[end])) {
    inside.push(lines[end++].replace(/^ {0,3}> ?/, ''));
  }
  const html = blocks(inside, document, depth + 1);
  return { html: `<blockquote>\n${html}\n</blockquote>`, end };
}

const ITEM = /^( *)([-*+]|(\d{1,9})[.)])\s+(.*)$/;

function list(lines, at, document, depth) {
  const first = ITEM.exec(lines[at]);
  if (!first || depth >= DEPTH_MAX) return null;
  const ordered = first[3] !== undefined;
  const indent = first[1].length;
  const items = [];
  let end = at;
  while (end < lines.length) {
    const match = ITEM.exec(lines[end]);
    const here = lines[end].search(/\S/);
    if (match && match[1].length <= indent) {
      if ((match[3] !== undefined) !== ordered || match[1].length < indent) break;
      items.push([match[4]]);
    } else if (here < 0) {
      // A list goes on after an empty line only with an item or with what is indented below one.
      const next = lines[end + 1] ?? '';
      if (next.search(/\S/) <= indent && !ITEM.test(next)) break;
      items.at(-1).push('');
    } else if (here > indent) {
      items.at(-1).push(lines[end].slice(Math.min(here, indent + 2)));
    } else {
      break;
    }
    end++;
  }
  const tag = ordered ? 'ol' : 'ul';
  const start = ordered && Number(first[3]) !== 1 ? ` start="${Number(first[3])}"` : '';
  const html = items.map(item => `<li>${itemHtml(item, document, depth)}</li>`).join('\n');
  return { html: `<${tag}${start}>\n${html}\n</${tag}>`, end };
}

function itemHtml(lines, document, depth) {
  const html = blocks(lines, document, depth + 1);
  // An item of one paragraph needs none.
  const single = /^<p>((?:(?!<p>)[\s\S])*?)<\/p>/.exec(html);
  return single ? single[1] + html.slice(single[0].length) : html;
}

function table(lines, at, document) {
  const rule = lines[at + 1] ?? '';
  if (!lines[at].includes('|') || !/^\s*\|?(\s*:?-+:?\s*\|)+(\s*:?-+:?\s*)?$/.test(rule)) return null;
  const aligned = cells(rule).map(cell => {
    if (/^:-*:$/.test(cell)) return ' style="text-align:center"';
    return cell.endsWith(':') ? ' style="text-align:right"' : '';
  });
  const row = (line, tag) => {
    const given = cells(line);
    const html = aligned.map((style, column) =>
      `<${tag}${style}>${inline(given[column] ?? '', document)}</${tag}>`);
    return `<tr>${html.join('')}</tr>`;
  };
  const out = [`<thead>${row(lines[at], 'th')}</thead>`, '<tbody>'];
  let end = at + 2;
  while (end < lines.length && lines[end].includes('|')) out.push(row(lines[end++], 'td'));
  return { html: `<table>\n${out.join('\n')}\n</tbody>\n</table>`, end };
}

function cells(line) {
  return line.trim().replace(/^\||\|$/g, '').split('|').map(cell => cell.trim());
}

function paragraph(lines, at, document, depth) {
  let end = at + 1;
  while (end < lines.length && lines[end].trim() && !begins(lines, end, depth)) end++;
  const text = lines.slice(at, end).map(line => line.trimStart()).join('\n');
  return { html: `<p>${inline(text.trimEnd(), document)}</p>`, end };
}

// Whether a line ends the paragraph before it by beginning something else.
function begins(lines, at, depth) {
  const aside = { contents: [], links: [], text: [], ids: new Map() };
  return [code, heading, rule].some(read => read(lines, at, aside)) ||
    (depth < DEPTH_MAX && (/^ {0,3}>/.test(lines[at]) || /^ {0,3}([-*+]|1[.)])\s/.test(lines[at])));
}

// The order matters: what an earlier one has taken is out of reach for those after it. None of them
// looks far ahead in vain from every place, as that would take the square of the text's length.
const INLINE = new RegExp([
  /\\(?<escaped>[!-/:-@[-`{-~])/,
  /(?<!`)(?<ticks>`+)(?<code>(?!`)[^]*?[^`])\k<ticks>(?!`)/,
  /(?<image>!)?\[(?<label>(?:[^[\]\\]|\\.)*)\]\((?<target>[^\s()<>]*)(?:\s+"(?<title>[^"]*)")?\)/,
  /<(?<auto>(?:https?:\/\/|mailto:)[^\s<>]+)>/,
  /(?<strong>\*\*|__)(?=\S)(?<bold>(?:(?!\k<strong>)[^])+?)(?<=\S)\k<strong>/,
  /(?<![\w*])(?<em>[*_])(?=[^\s*_])(?<italic>(?:(?!\k<em>)[^])+?)(?<=\S)\k<em>(?![\w*])/,
  /~~(?=\S)(?<gone>(?:(?!~~)[^])+?)~~/,
  /(?:(?<! ) {2,}|\\)\n(?<broken>)/,
].map(part => part.source).join('|'), 'g');

function inline(source, document, depth = 0) {
  if (depth >= DEPTH_MAX) return plain(source, document);
  const nested = text => inline(text, document, depth + 1);
  let html = '';
  let done = 0;
  for (const match of source.matchAll(INLINE)) {
    html += plain(source.slice(done, match.index), document);
    done = match.index + match[0].length;
    const found = match.groups;
    if (found.escaped) html += plain(found.escaped, document);
    else if (found.code) html += `<code>${plain(found.code.trim(), document)}</code>`;
    else if (found.label !== undefined) html += link(found, match[0], document, nested);
    else if (found.auto) html += anchor(found.auto, '', plain(found.auto, document), document);
    else if (found.bold) html += `<strong>${nested(found.bold)}</strong>`;
    else if (found.italic) html += `<em>${nested(found.italic)}</em>`;
    else if (found.gone) html += `<del>${nested(found.gone)}</del>`;
    else html += '<br>\n';
  }
  return html + plain(source.slice(done), document);
}

function link({ image, label, target, title }, source, document, nested) {
  if (!isSafe(target)) return plain(source, document);
  const named = title ? ` title="${escape(title)}"` : '';
  if (!image) return anchor(target, named, nested(label), document);
  document.text.push(label);
  return `<img src="${escape(target)}" alt="${escape(label)}"${named}>`;
}

function anchor(target, named, inner, document) {
  document.links.push(target);
  const outward = /^https?:/i.test(target) ? ' rel="nofollow noopener"' : '';
  return `<a href="${escape(target)}"${named}${outward}>${inner}</a>`;
}

function isSafe(target) {
  const scheme = /^([a-z][a-z\d+.-]*):/i.exec(target)?.[1].toLowerCase();
  if (scheme) return ['http', 'https', 'mailto'].includes(scheme);
  // No scheme, and none that a browser would find behind control characters or entities.
  return !/[\x00-\x20:&\\]/.test(target.split(/[/?#]/)[0]) && !target.startsWith('//');
}

function plain(text, document) {
  if (text.trim()) document.text.push(text);
  return escape(text);
}

const ENTITIES = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

function escape(text) {
  return text.replace(/[&<>"']/g, letter => ENTITIES[letter]);
}

function bare(html) {
  const text = html.replace(/<[^>]*>/g, '');
  return text.replace(/&(?:amp|lt|gt|quot|#39);/g,
    entity => Object.keys(ENTITIES).find(letter => ENTITIES[letter] === entity));
}

function slug(text) {
  const words = text.toLowerCase().normalize('NFKD').replace(/[^\p{L}\p{N}\s-]/gu, '').trim();
  return words.replace(/[\s-]+/g, '-') || 'section';
}

function unique(id, ids) {
  const count = ids.get(id) ?? 0;
  ids.set(id, count + 1);
  return count ? `${id}-${count}` : id;
}
