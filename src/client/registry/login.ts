/** `login` and `logout`. */
import * as fs from 'node:fs';
import { logIn } from '#api/client/images.ts';
import { type CommandContext, defineCommand, ExitError } from '../command.ts';
import { flag, text } from '../flags/flag-spec.ts';
import { credentialsFor, eraseCredentials, HUB_SERVER, serverKey, storeCredentials } from './credentials.ts';
import { askLine, askSecret } from './prompt.ts';

export const login = defineCommand({
  operands: '[SERVER]',
  count: [0, 1],
  flags: {
    password: text('Password or Personal Access Token (PAT)', { shorthand: 'p' }),
    'password-stdin': flag('Take the Password or Personal Access Token (PAT) from stdin'),
    username: text('Username', { shorthand: 'u' }),
  },
  async run(context, { values, positionals: [given = ''] }) {
    const server = serverKey(given);
    const { username, password, 'password-stdin': fromStdin } = values;
    if (fromStdin && password !== '') {
      throw new ExitError(1, 'conflicting options: cannot specify both --password and --password-stdin');
    }
    if (fromStdin && username === '')
      throw new ExitError(1, 'the --password-stdin option requires --username to be set');
    if (password !== '') {
      context.io.err('WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n');
    }
    const credentials = await asked(context, server, {
      username,
      password: fromStdin ? fs.readFileSync(0, 'utf8').replace(/\r?\n$/, '') : password,
    });
    const answer = await logIn(context.client(), { ...credentials, serveraddress: server });
    const token = answer.IdentityToken ?? '';
    await storeCredentials(context, server, {
      ...credentials,
      // With a token that lasts the password is not kept.
      ...(token === '' ? {} : { password: '', identitytoken: token }),
    });
    context.io.out(`${answer.Status}\n`);
  },
});

async function asked(
  context: CommandContext,
  server: string,
  given: { readonly username: string; readonly password: string },
): Promise<{ username: string; password: string }> {
  const { io } = context;
  if (given.username !== '' && given.password !== '') return given;
  const known = await credentialsFor(context, server);
  if (given.username === '' && known?.username !== undefined && known.username !== '' && known.password !== '') {
    io.out('Authenticating with existing credentials...\n');
    return { username: known.username, password: known.password ?? '' };
  }
  if (!io.stdinIsTerminal) throw new ExitError(1, 'Error: Cannot perform an interactive login from a non TTY device');
  const username = given.username === '' ? askLine(io, 'Username: ') : given.username;
  if (username === '') throw new ExitError(1, 'Error: Non-null Username Required');
  const password = given.password === '' ? askSecret(io, 'Password: ') : given.password;
  if (password === '') throw new ExitError(1, 'Error: Password Required');
  return { username, password };
}

export const logout = defineCommand({
  operands: '[SERVER]',
  count: [0, 1],
  flags: {},
  async run(context, { positionals: [given = ''] }) {
    const server = serverKey(given);
    const shown = server === HUB_SERVER ? server : given;
    if (await eraseCredentials(context, server)) context.io.out(`Removing login credentials for ${shown}\n`);
    else context.io.out(`Not logged in to ${shown}\n`);
  },
});
