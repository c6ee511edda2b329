// Finds the user's handler: CommonJS and ES modules, from the function's folder and its layers.
'use strict';

const fs = require('fs');
const path = require('path');
const errors = require('./lambent-errors.cjs');

const STREAMING = Symbol.for('aws.lambda.runtime.handler.streaming');
const HIGH_WATER_MARK = Symbol.for('aws.lambda.runtime.handler.streaming.highWaterMark');

// `handler` is `folder/module.function`; dots after the module lead into nested objects.
async function load(root, handler) {
  if (handler.includes('..')) {
    throw new errors.MalformedHandlerName(`'${handler}' is not a valid handler name. ` +
      'Use absolute paths when specifying root directories in handler names.');
  }
  const base = path.basename(handler);
  const match = /^([^.]*)\.(.*)$/.exec(base);
  if (!match) throw new errors.MalformedHandlerName('Bad handler');
  const [, name, property] = match;
  const folder = handler.slice(0, handler.indexOf(base));
  addGlobals();
  let found;
  try {
    found = await loadModule(root, folder, name);
  } catch (error) {
    if (error instanceof SyntaxError) throw new errors.UserCodeSyntaxError(error);
    if (error?.code === 'MODULE_NOT_FOUND') throw new errors.ImportModuleError(String(error));
    throw error;
  }
  const reach = from => property.split('.').reduce((at, key) => at?.[key], from);
  const target = reach(found) ?? reach(found?.default);
  if (!target) throw new errors.HandlerNotFound(`${handler} is undefined or not exported`);
  if (typeof target !== 'function') {
    throw new errors.HandlerNotFound(`${handler} is not a function`);
  }
  return { handler: target, ...traits(target) };
}

// The order is Lambda's: no extension, .js (by what package.json says it is), .mjs, .cjs, and at
// last whatever Node.js finds by that name.
async function loadModule(root, folder, name) {
  const file = path.resolve(root, folder, name);
  if (isFile(file)) return require(file);
  if (isFile(`${file}.js`)) {
    return isInModulePackage(file) ? importFile(`${file}.js`) : requireOrImport(`${file}.js`);
  }
  if (isFile(`${file}.mjs`)) return importFile(`${file}.mjs`);
  if (isFile(`${file}.cjs`)) return require(`${file}.cjs`);
  return require(require.resolve(name, { paths: [root, path.resolve(root, folder)] }));
}

async function requireOrImport(file) {
  try {
    return require(file);
  } catch (error) {
    // From Node.js 22 on require takes ES modules too, but none that waits at its top level.
    if (error?.code === 'ERR_REQUIRE_ASYNC_MODULE') return importFile(file);
    throw error;
  }
}

async function importFile(file) {
  addLayersToImport();
  return import(require('url').pathToFileURL(file));
}

function isInModulePackage(file) {
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    if (path.basename(folder) === 'node_modules') return false;
    const manifest = path.join(folder, 'package.json');
    if (fs.existsSync(manifest)) {
      try {
        return JSON.parse(fs.readFileSync(manifest, 'utf8'))?.type === 'module';
      } catch (error) {
        console.warn(`${manifest} cannot be read, it will be ignored for ES module detection ` +
          'purposes.', error);
        return false;
      }
    }
    if (folder === path.dirname(folder)) return false;
  }
}

function isFile(file) {
  return fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false;
}

// Node.js looks for the packages of `import` beside the importing file only. In Lambda those of
// NODE_PATH, that is of layers, are found too.
function addLayersToImport() {
  const folders = (process.env.NODE_PATH ?? '').split(':').filter(
    folder => path.basename(folder) === 'node_modules' && fs.existsSync(folder));
  if (!folders.length) return;
  const { pathToFileURL } = require('url');
  const parents = folders.map(folder => String(pathToFileURL(path.join(folder, '..', 'layer.mjs'))));
  const nodeModule = require('module');
  if (nodeModule.registerHooks) {
    nodeModule.registerHooks({
      resolve(specifier, context, next) {
        try {
          return next(specifier, context);
        } catch (error) {
          if (error?.code !== 'ERR_MODULE_NOT_FOUND' || !/^[@\w]/.test(specifier)) throw error;
          for (const parentURL of parents) {
            try {
              return next(specifier, { ...context, parentURL });
            } catch {} // the next layer, then the first error
          }
          throw error;
        }
      },
    });
  } else if (nodeModule.register) {
    const hook = `const parents = ${JSON.stringify(parents)};
      export async function resolve(specifier, context, next) {
        try { return await next(specifier, context); } catch (error) {
          if (error?.code !== 'ERR_MODULE_NOT_FOUND' || !/^[@\\w]/.test(specifier)) throw error;
          for (const parentURL of parents) {
            try { return await next(specifier, { ...context, parentURL }); } catch {}
          }
          throw error;
        }
      }`;
    nodeModule.register(`data:text/javascript,${encodeURIComponent(hook)}`);
  }
}

function addGlobals() {
  if (['1', 'true'].includes(process.env.AWS_LAMBDA_NODEJS_NO_GLOBAL_AWSLAMBDA)) return;
  globalThis.awslambda = {
    ...globalThis.awslambda,
    streamifyResponse(handler, options) {
      handler[STREAMING] = 'response';
      if (typeof options?.highWaterMark === 'number') {
        handler[HIGH_WATER_MARK] = Math.trunc(options.highWaterMark);
      }
      return handler;
    },
    get HttpResponseStream() {
      return require('./lambent-stream.cjs').HttpResponseStream;
    },
  };
}

function traits(handler) {
  const streaming = handler[STREAMING];
  if (streaming && streaming !== 'response') {
    throw new errors.MalformedStreamingHandler('Only response streaming is supported.');
  }
  const mark = parseInt(handler[HIGH_WATER_MARK], 10);
  return {
    streaming: Boolean(streaming),
    highWaterMark: Number.isNaN(mark) ? undefined : mark,
    isAsync: handler.constructor?.name === 'AsyncFunction',
    takesCallback: handler.length >= 3,
  };
}

module.exports = { load };
