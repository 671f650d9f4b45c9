/** `berth context …`: docker's commands over docker's store. */
import * as fs from 'node:fs';
import { DEFAULT_HOST, parseHost } from '#api/client/address.ts';
import { type CommandContext, defineCommand } from '../command.ts';
import { formatFlag, inspectFormatFlag, quietFlag } from '../common-flags.ts';
import { changeConfigFile } from '../config-file/change-config-file.ts';
import { configDirectory } from '../config-file/config-file.ts';
import { chosenContext, hostVariable } from '../connect.ts';
import { fileFailure } from '../files.ts';
import { flag, list, text } from '../flags/flag-spec.ts';
import { goJson } from '../format/human.ts';
import { printListing } from '../format/listing.ts';
import { printTyped } from '../format/print-typed.ts';
import { checkContextName, type Context, ContextStore, encodeMeta, tlsFiles, type TlsFiles } from './store.ts';
import { DEFAULT_CONTEXT } from './default-context.ts';

const DEFAULT_DESCRIPTION = 'Current DOCKER_HOST based configuration';
const HEADINGS = { Name: 'NAME', Description: 'DESCRIPTION', DockerEndpoint: 'DOCKER ENDPOINT', Error: 'ERROR' };
const dockerFlag = () => list('set the docker endpoint (default [])', { typeName: 'stringToString' });

function place(context: CommandContext): { directory: string; store: ContextStore } {
  const directory = configDirectory(context.environment, context.globals.config);
  return { directory, store: new ContextStore(directory) };
}

/** The endpoint that flags and variables mean when no context is chosen. */
function defaultContext({ environment }: CommandContext): Context {
  const host = hostVariable(environment);
  return {
    name: DEFAULT_CONTEXT,
    description: '',
    host: host === '' ? DEFAULT_HOST : host,
    skipTlsVerify: false,
    meta: {},
  };
}

function findOrDefault(context: CommandContext, name: string): Context {
  return name === DEFAULT_CONTEXT ? defaultContext(context) : place(context).store.get(name);
}

export const create = defineCommand({
  operands: 'CONTEXT',
  count: [1, 1],
  flags: {
    description: text('Description of the context'),
    docker: dockerFlag(),
    from: text('create context from a named context'),
  },
  examples: ['berth context create box --docker host=ssh://me@box', 'berth context use box'],
  async run(context, { values, positionals }) {
    const [name = ''] = positionals;
    const { store } = place(context);
    checkContextName(name);
    if (store.find(name) !== undefined) throw new Error(`context "${name}" already exists`);
    if (values.docker.length === 0) {
      const source = values.from === '' ? chosenContext(context.globals, context.environment) : values.from;
      const copied = findOrDefault(context, source);
      const description = values.description === '' ? copied.description : values.description;
      store.put({ ...copied, name, description }, source === DEFAULT_CONTEXT ? {} : store.tls(source));
    } else {
      const endpoint = parseEndpoint(context, values.docker, 'create');
      store.put({ name, description: values.description, ...endpoint.fields }, endpoint.tls);
    }
    context.io.out(`${name}\n`);
    context.io.err(`Successfully created context "${name}"\n`);
  },
});

export const update = defineCommand({
  operands: 'CONTEXT',
  count: [1, 1],
  flags: { description: text('Description of the context'), docker: dockerFlag() },
  async run(context, { values, positionals, given }) {
    const [name = ''] = positionals;
    const { store } = place(context);
    checkContextName(name);
    const old = store.get(name);
    const endpoint = values.docker.length === 0 ? undefined : parseEndpoint(context, values.docker, 'update');
    const description = given.has('description') ? values.description : old.description;
    store.put({ ...old, ...endpoint?.fields, description }, endpoint?.tls);
    context.io.out(`${name}\n`);
    context.io.err(`Successfully updated context "${name}"\n`);
  },
});

/** `host=…,ca=…,cert=…,key=…,skip-tls-verify=…`, or `from=CONTEXT`. */
function parseEndpoint(
  context: CommandContext,
  given: readonly string[],
  verb: string,
): { readonly fields: Pick<Context, 'host' | 'skipTlsVerify'>; readonly tls: TlsFiles } {
  const options = new Map(
    given
      .flatMap((one) => one.split(','))
      .map((pair) => {
        const at = pair.indexOf('=');
        if (at < 0) throw new Error(`${pair} must be formatted as key=value`);
        return [pair.slice(0, at), pair.slice(at + 1)] as const;
      }),
  );
  const unknown = [...options.keys()].find((key) => !/^(?:from|host|ca|cert|key|skip-tls-verify)$/.test(key));
  const fail = (why: string): never => {
    throw new Error(`unable to ${verb} docker endpoint config: ${why}`);
  };
  if (unknown !== undefined) fail(`unrecognized config key: ${unknown}`);
  const from = options.get('from');
  if (from !== undefined) {
    const source = findOrDefault(context, from);
    return {
      fields: { host: source.host, skipTlsVerify: source.skipTlsVerify },
      tls: from === DEFAULT_CONTEXT ? {} : place(context).store.tls(from),
    };
  }
  const skip = options.get('skip-tls-verify') ?? 'false';
  if (!/^(?:1|t|T|TRUE|true|True|0|f|F|FALSE|false|False)$/.test(skip)) {
    fail(`skip-tls-verify: strconv.ParseBool: parsing "${skip}": invalid syntax`);
  }
  const host = options.get('host') ?? '';
  if (host !== '') parseHost(host);
  const read = (key: string) => {
    const file = options.get(key) ?? '';
    return file === '' ? undefined : fs.readFileSync(file.replace(/^~(?=\/)/, context.environment['HOME'] ?? '~'));
  };
  const [ca, cert, key] = [read('ca'), read('cert'), read('key')];
  const tls = {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
  };
  return { fields: { host, skipTlsVerify: /^[1tT]/.test(skip) }, tls };
}

export const ls = defineCommand({
  operands: '',
  count: [0, 0],
  flags: { format: formatFlag(), quiet: quietFlag('Only show context names') },
  async run(context, { values }) {
    const { store } = place(context);
    const current = chosenContext(context.globals, context.environment);
    const all = [{ ...defaultContext(context), description: DEFAULT_DESCRIPTION }, ...store.list()];
    if (!all.some((one) => one.name === current)) {
      all.push({ name: current, description: '', host: '', skipTlsVerify: false, meta: {} });
    }
    const rows = all
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map((one) => ({
        Current: one.name === current,
        Description: one.description,
        DockerEndpoint: one.host,
        Error: one.name === DEFAULT_CONTEXT || store.find(one.name) !== undefined ? '' : 'context not found',
        Name: values.format === '' && !values.quiet && one.name === current ? `${one.name} *` : one.name,
      }));
    const columns = ['Name', 'Description', 'DockerEndpoint', 'Error'];
    context.io.out(
      printListing(
        { rows, columns, headings: HEADINGS, quietField: 'Name', type: '*formatter.clientContextContext' },
        values,
      ),
    );
    const host = hostVariable(context.environment);
    if (host !== '' && current === DEFAULT_CONTEXT) {
      const warning = `Warning: DOCKER_HOST environment variable overrides the active context. To use a context, either set the global --context flag, or unset DOCKER_HOST environment variable.`;
      context.io.err(`${warning}\n`);
    }
  },
});

export const show = defineCommand({
  operands: '',
  count: [0, 0],
  flags: {},
  async run(context) {
    context.io.out(`${chosenContext(context.globals, context.environment)}\n`);
  },
});

export const use = defineCommand({
  operands: 'CONTEXT',
  count: [1, 1],
  flags: {},
  async run(context, { positionals }) {
    const [name = ''] = positionals;
    const { directory, store } = place(context);
    if (name !== DEFAULT_CONTEXT) store.get(name);
    // A key that is undefined is not written.
    changeConfigFile(directory, (json) => ({
      ...json,
      currentContext: name === DEFAULT_CONTEXT ? undefined : name,
    }));
    context.io.out(`${name}\n`);
    context.io.err(`Current context is now "${name}"\n`);
    if (hostVariable(context.environment) !== '' && name !== DEFAULT_CONTEXT) {
      context.io.err(
        `Warning: DOCKER_HOST environment variable overrides the active context. To use "${name}", either set the global --context flag, or unset DOCKER_HOST environment variable.\n`,
      );
    }
  },
});

export const rm = defineCommand({
  operands: 'CONTEXT [CONTEXT...]',
  count: [1, Infinity],
  flags: { force: flag('Force the removal of a context in use', { shorthand: 'f' }) },
  async run(context, { values, positionals }) {
    const { directory, store } = place(context);
    const current = chosenContext(context.globals, context.environment);
    const failures: string[] = [];
    for (const name of positionals) {
      try {
        if (name === DEFAULT_CONTEXT) throw new Error(`context "default" cannot be removed`);
        if (!(values.force && store.find(name) === undefined)) {
          if (store.find(name) === undefined) throw new Error(`context "${name}" does not exist`);
          if (name === current && !values.force) {
            throw new Error(`context "${name}" is in use, set -f flag to force remove`);
          }
          store.remove(name);
          if (name === current) changeConfigFile(directory, (json) => ({ ...json, currentContext: undefined }));
        }
        context.io.out(`${name}\n`);
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
      }
    }
    if (failures.length > 0) throw new Error(failures.join('\n'));
  },
});

export const inspect = defineCommand({
  operands: '[CONTEXT] [CONTEXT...]',
  count: [0, Infinity],
  flags: { format: inspectFormatFlag() },
  async run(context, { values, positionals }) {
    const { store } = place(context);
    const names = positionals.length > 0 ? positionals : [chosenContext(context.globals, context.environment)];
    const failures: string[] = [];
    const found = names.flatMap((name) => {
      let one: Context;
      try {
        one = findOrDefault(context, name);
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
        return [];
      }
      const inMemory = name === DEFAULT_CONTEXT;
      const files = tlsFiles(inMemory ? {} : store.tls(name)).map(([file]) => file);
      const described = {
        ...encodeMeta(one),
        TLSMaterial: files.length === 0 ? {} : { docker: files },
        Storage: {
          MetadataPath: inMemory ? '<IN MEMORY>' : store.metaPath(name),
          TLSPath: inMemory ? '<IN MEMORY>' : store.tlsPath(name),
        },
      };
      return [described];
    });
    const typed = { name: '', types: { '': 'context.contextWithTLSListing' }, prefix: 'template parsing error: ' };
    const byTemplate = values.format !== '' && values.format !== 'json';
    if (byTemplate) for (const one of found) printTyped(context, values.format, one, typed);
    else context.io.out(`${goJson(found, values.format === 'json' ? '' : '    ')}\n`);
    if (failures.length > 0) throw new Error(failures.join('\n'));
  },
});

export const exportContext = defineCommand({
  operands: 'CONTEXT [FILE|-]',
  count: [1, 2],
  flags: {},
  async run(context, { positionals }) {
    const [name = '', file = `${name}.dockercontext`] = positionals;
    if (name === DEFAULT_CONTEXT) throw new Error('context "default": cannot export the default context');
    const { packContext } = await import('./transfer.ts');
    const { store } = place(context);
    const archive = packContext(store.get(name), store.tls(name));
    if (file === '-') {
      if (context.io.stdoutIsTerminal)
        throw new Error('cowardly refusing to export to a terminal, specify a file path');
      fs.writeSync(1, archive);
      return;
    }
    try {
      fs.writeFileSync(file, archive, { flag: 'wx', mode: 0o600 });
    } catch (error) {
      throw fileFailure('open', file, error);
    }
    context.io.err(`Written file "${file}"\n`);
  },
});

export const importContext = defineCommand({
  operands: 'CONTEXT FILE|-',
  count: [2, 2],
  flags: {},
  async run(context, { positionals }) {
    const [name = '', file = ''] = positionals;
    checkContextName(name);
    const { store } = place(context);
    if (store.find(name) !== undefined) throw new Error(`context "${name}" already exists`);
    const { unpackContext } = await import('./transfer.ts');
    const { context: read, tls } = unpackContext(readArchive(file));
    store.put({ ...read, name }, tls);
    context.io.out(`${name}\n`);
    context.io.err(`Successfully imported context "${name}"\n`);
  },
});

function readArchive(file: string): Uint8Array {
  try {
    return fs.readFileSync(file === '-' ? 0 : file);
  } catch (error) {
    throw fileFailure('open', file, error);
  }
}
