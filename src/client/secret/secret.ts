/** `secret create`, `ls`, `inspect` and `rm`, with podman's grammar. */
import { readFileSync } from 'node:fs';
import { createSecret, listSecrets, removeSecret } from '#api/client/secrets.ts';
import { defineCommand, ExitError } from '../command.ts';
import { filterFlag, formatFlag, quietFlag, formatOr } from '../common-flags.ts';
import { toRecord } from '../container/variables.ts';
import { forEachName } from '../each.ts';
import { parseFilters } from '../filters.ts';
import { flag, list, refused } from '../flags/flag-spec.ts';
import { ago } from '../format/human.ts';
import { printListing } from '../format/listing.ts';

const MS_PER_SECOND = 1000;

export const create = defineCommand({
  operands: 'NAME FILE|-',
  count: [2, 2],
  flags: {
    driver: refused('--driver: secrets are kept by the daemon itself; there are no drivers', { shorthand: 'd' }),
    'template-driver': refused('--template-driver: templates of secrets are of Swarm'),
    env: flag('Read secret data from environment variable'),
    label: list('Specify labels on the secret', { shorthand: 'l' }),
    replace: flag('If a secret with the same name exists, replace it'),
  },
  examples: ['printf %s "$TOKEN" | berth secret create token -', 'berth run --secret token,mode=0400 image'],
  async run(context, { values, positionals: [name = '', source = ''] }) {
    const value = values.env
      ? fromEnvironment(context.environment, source)
      : fromFile(source, context.io.stdinIsTerminal);
    const options = { name, labels: toRecord(values.label), replace: values.replace };
    context.io.out(`${(await createSecret(context.client(), value, options)).ID}\n`);
  },
});

function fromEnvironment(environment: Readonly<Record<string, string | undefined>>, variable: string): Uint8Array {
  const value = environment[variable];
  if (value === undefined)
    throw new ExitError(1, `cannot create store secret data: environment variable ${variable} is not set`);
  return Buffer.from(value);
}

function fromFile(file: string, stdinIsTerminal: boolean): Uint8Array {
  if (file !== '-') return readFileSync(file);
  if (stdinIsTerminal) throw new ExitError(1, 'if `-` is used, data must be passed into stdin');
  return readFileSync(0);
}

const HEADINGS = {
  ID: 'ID',
  Name: 'NAME',
  Driver: 'DRIVER',
  CreatedAt: 'CREATED',
  UpdatedAt: 'UPDATED',
};

export const ls = defineCommand({
  operands: '',
  count: [0, 0],
  flags: { filter: filterFlag(), format: formatFlag(), quiet: quietFlag('Only display secret IDs') },
  async run(context, { values }) {
    const secrets = await listSecrets(context.client(), parseFilters(values.filter));
    const now = Date.now();
    const rows = secrets.map((secret) => ({
      CreatedAt: ago(Date.parse(secret.CreatedAt) / MS_PER_SECOND, now),
      Driver: secret.Spec.Driver.Name,
      ID: secret.ID,
      Name: secret.Spec.Name,
      UpdatedAt: ago(Date.parse(secret.UpdatedAt) / MS_PER_SECOND, now),
    }));
    const columns = ['ID', 'Name', 'Driver', 'CreatedAt', 'UpdatedAt'];
    context.io.out(
      printListing({ rows, columns, headings: HEADINGS, quietField: 'ID' }, formatOr(context, values, 'secretFormat')),
    );
  },
});

export const rm = defineCommand({
  operands: 'SECRET [SECRET...]',
  count: [0, Infinity],
  flags: { all: flag('Remove all secrets', { shorthand: 'a' }) },
  async run(context, { values, positionals }) {
    if (values.all === positionals.length > 0) {
      throw new ExitError(1, 'name SECRET to remove, or --all, but not both');
    }
    const client = context.client();
    const names = values.all ? (await listSecrets(client, new Map())).map((one) => one.Spec.Name) : positionals;
    return forEachName(context, names, (name) => removeSecret(client, name));
  },
});
