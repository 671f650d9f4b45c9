/** `--secret` and `--ssh`: values travel in a header, never in an address, and are written nowhere. */
import * as fs from 'node:fs';
import { type CommandContext, UsageError } from '../command.ts';

const SECRET_BYTES_MAX = 500 << 10;

/** `id=x[,src=file|env=NAME]`. Errors: UsageError; those of the file. */
export function secretsHeader(options: readonly string[]): Readonly<Record<string, string>> {
  if (options.length === 0) return {};
  const secrets: Record<string, string> = {};
  for (const option of options) {
    const fields = new Map(option.split(',').map((field) => split(field)));
    const id = fields.get('id') ?? '';
    if (id === '') throw new UsageError(`invalid secret ${option}: it has no id`);
    const file = fields.get('src') ?? fields.get('source');
    const variable = fields.get('env') ?? (fields.get('type') === 'env' ? id : undefined);
    const fromEnv = process.env[variable ?? id];
    let value: Buffer;
    if (file !== undefined && fields.get('type') !== 'env') value = fs.readFileSync(file);
    else if (fromEnv !== undefined) value = Buffer.from(fromEnv);
    else if (variable === undefined && fs.existsSync(id)) value = fs.readFileSync(id);
    else throw new UsageError(`secret ${id}: neither a file nor a variable of that name is there`);
    if (value.length > SECRET_BYTES_MAX) throw new UsageError(`secret ${id} is larger than ${SECRET_BYTES_MAX} bytes`);
    secrets[id] = value.toString('base64');
  }
  return { 'X-Berth-Secrets': Buffer.from(JSON.stringify(secrets)).toString('base64') };
}

const split = (field: string): [string, string] => {
  const [name = '', value = ''] = field.split(/=(.*)/s);
  return [name, value];
};

/** `default`, `id=socket`: sockets of this host, so the daemon has to be on it. */
export function sshSockets(options: readonly string[], context: CommandContext): Readonly<Record<string, string>> {
  if (options.length === 0) return {};
  if (context.client().address.kind !== 'unix') {
    throw new UsageError('--ssh needs a daemon on this host: agents are not forwarded to other hosts yet');
  }
  return Object.fromEntries(
    options.map((option) => {
      const [id, given] = split(option);
      const socket = given === '' ? (context.environment['SSH_AUTH_SOCK'] ?? '') : given;
      if (socket === '') throw new UsageError('invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set');
      return [id, fs.realpathSync(socket)];
    }),
  );
}
