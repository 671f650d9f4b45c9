/**
 * `inspect`, `container inspect` and `image inspect`: the daemon's JSON, as an indented array or by a template. What is
 * not found is told after what is.
 */
import { inspectArtifact } from '#api/client/artifacts.ts';
import { inspectContainer } from '#api/client/containers.ts';
import { inspectImage } from '#api/client/images.ts';
import { inspectNetwork } from '#api/client/networks.ts';
import { inspectSecret } from '#api/client/secrets.ts';
import { inspectVolume } from '#api/client/volumes.ts';
import { ApiError } from '#api/client/api-error.ts';
import { type CommandContext, defineCommand, ExitError } from '../command.ts';
import { inspectFormatFlag } from '../common-flags.ts';
import { describeFailure } from '../failure.ts';
import { flag, text } from '../flags/flag-spec.ts';
import { goJson } from '../format/human.ts';
import { platformFlag, platformJson } from '../image/platform-flag.ts';
import { parseTemplate, render, renderTyped, type Template, type Typed } from '../format/template.ts';

type LookUp = (name: string) => Promise<unknown>;

const sizeFlag = (help: string) => flag(help, { shorthand: 's' });

const asFlag = () => text('Print what makes this container: "run" (a command) or "compose" (a file)');

export const inspect = defineCommand({
  operands: 'NAME|ID [NAME|ID...]',
  count: [1, Infinity],
  flags: {
    format: inspectFormatFlag(),
    as: asFlag(),
    size: sizeFlag('Display total file sizes if the type is container'),
    type: text('Only inspect objects of the given type'),
  },
  async run(context, { values, positionals }) {
    if (values.as !== '') return recreate(context, positionals, values.as);
    const client = context.client();
    const kinds: Readonly<Record<string, LookUp>> = {
      container: (name) => inspectContainer(client, name, values.size),
      image: (name) => inspectImage(client, name),
      network: (name) => inspectNetwork(client, name),
      volume: (name) => inspectVolume(client, name, values.size),
    };
    if (values.type !== '' && !Object.hasOwn(kinds, values.type)) {
      throw new Error(
        `unknown type: ${JSON.stringify(values.type)}: must be one of "config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume"`,
      );
    }
    if (values.size && values.type !== '' && values.type !== 'container') {
      context.io.err(`WARNING: --size ignored for ${values.type}\n`);
    }
    const chosen = values.type === '' ? Object.values(kinds) : [kinds[values.type] ?? (() => Promise.resolve())];
    return show(context, positionals, values.format, (name) => firstOf(chosen, name, values.type === ''));
  },
});

export const inspectContainers = defineCommand({
  operands: 'CONTAINER [CONTAINER...]',
  count: [1, Infinity],
  flags: { as: asFlag(), format: inspectFormatFlag(), size: sizeFlag('Display total file sizes') },
  examples: ['berth inspect --as run web', 'berth inspect --as compose web > compose.yaml'],
  run: (context, { values, positionals }) =>
    values.as === ''
      ? show(context, positionals, values.format, (name) => inspectContainer(context.client(), name, values.size))
      : recreate(context, positionals, values.as),
});

export const inspectImages = defineCommand({
  operands: 'IMAGE [IMAGE...]',
  count: [1, Infinity],
  flags: {
    format: inspectFormatFlag(),
    platform: platformFlag('Inspect a specific platform of the multi-platform image'),
  },
  run: (context, { values, positionals }) =>
    show(context, positionals, values.format, (name) =>
      inspectImage(context.client(), name, platformJson(values.platform)),
    ),
});

/** Of these docker's client knows no more than their type has. */
const VOLUME: Typed = { name: '', types: { '': 'volume.Volume' }, prefix: 'template parsing error: ' };

export const inspectVolumes = defineCommand({
  operands: 'VOLUME [VOLUME...]',
  count: [1, Infinity],
  flags: { format: inspectFormatFlag(), size: sizeFlag('Display how much is in it') },
  run: (context, { values, positionals }) =>
    show(context, positionals, values.format, (name) => inspectVolume(context.client(), name, values.size), VOLUME),
});

export const inspectNetworks = defineCommand({
  operands: 'NETWORK [NETWORK...]',
  count: [1, Infinity],
  flags: {
    format: inspectFormatFlag(),
    verbose: flag('Verbose output for diagnostics', { shorthand: 'v' }),
  },
  run: (context, { values, positionals }) =>
    show(context, positionals, values.format, (name) => inspectNetwork(context.client(), name, values.verbose)),
});

export const inspectArtifacts = defineCommand({
  operands: 'ARTIFACT [ARTIFACT...]',
  count: [1, Infinity],
  flags: { format: inspectFormatFlag() },
  run: (context, { values, positionals }) =>
    show(context, positionals, values.format, (name) => inspectArtifact(context.client(), name)),
});

const PRETTY_SECRET = `ID:              {{.ID}}
Name:              {{.Spec.Name}}
{{- if .Spec.Labels }}
Labels:
{{- range $k, $v := .Spec.Labels }}
 - {{ $k }}{{if $v }}={{ $v }}{{ end }}
{{- end }}{{ end }}
Driver:            {{.Spec.Driver.Name}}
Created at:        {{.CreatedAt}}
Updated at:        {{.UpdatedAt}}`;

export const inspectSecrets = defineCommand({
  operands: 'SECRET [SECRET...]',
  count: [1, Infinity],
  flags: { format: inspectFormatFlag(), pretty: flag('Print the information in a human friendly format') },
  run: (context, { values, positionals }) =>
    show(context, positionals, values.pretty ? PRETTY_SECRET : values.format, (name) =>
      inspectSecret(context.client(), name),
    ),
});

/** A name may mean a container, an image, a network or a volume; the first kind that knows it wins. */
async function firstOf(lookUps: readonly LookUp[], name: string, several: boolean): Promise<unknown> {
  for (const lookUp of lookUps) {
    try {
      return await lookUp(name);
    } catch (error) {
      if (!several || !(error instanceof ApiError) || error.kind !== 'not-found') throw error;
    }
  }
  throw new Error(`Error: No such object: ${name}`);
}

async function recreate(context: CommandContext, names: readonly string[], as: string): Promise<number> {
  const { printRecipes } = await import('../recreate/command.ts');
  await printRecipes(context, names, as);
  return 0;
}

/** Docker ends with EX_USAGE for a template that is none. */
const EXIT_WRONG_USE = 64;

function parsedOrWrongUse(format: string): Template {
  try {
    return parseTemplate(format);
  } catch (error) {
    throw new ExitError(EXIT_WRONG_USE, describeFailure(error));
  }
}

/** As docker: what a template has no answer for is told at the end; an empty line when there was nothing to print. */
function printAll(template: Template, found: readonly unknown[], failures: unknown[], typed?: Typed): string {
  let text = '';
  for (const value of found) {
    try {
      text += `${typed === undefined ? render(template, value) : renderTyped(template, value, typed)}\n`;
    } catch (error) {
      failures.push(error);
    }
  }
  return text === '' ? '\n' : text;
}

async function show(
  context: CommandContext,
  names: readonly string[],
  format: string,
  lookUp: LookUp,
  typed?: Typed,
): Promise<number> {
  const template = format === '' || format === 'json' ? undefined : parsedOrWrongUse(format);
  const found: unknown[] = [];
  const failures: unknown[] = [];
  for (const name of names) {
    try {
      found.push(await lookUp(name));
    } catch (error) {
      failures.push(error);
    }
  }
  const { out } = context.io;
  if (template !== undefined) out(printAll(template, found, failures, typed));
  else if (found.length === 0) out('[]\n');
  else if (format === 'json') out(`${goJson(found)}\n`);
  else out(`${goJson(found, '    ')}\n`);
  for (const error of failures) context.io.err(`${describeFailure(error)}\n`);
  return failures.length === 0 ? 0 : 1;
}
