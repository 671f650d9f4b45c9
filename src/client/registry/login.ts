/** `login` and `logout`. */
import * as fs from 'node:fs';
import { logIn } from '#api/client/images.ts';
import { type CommandContext, defineCommand, ExitError } from '../command.ts';
import { configDirectory } from '../config-file/config-file.ts';
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
    const { username: user, password: secret } = credentials;
    const answer = await logIn(context.client(), { username: user, password: secret, serveraddress: server });
    const token = answer.IdentityToken ?? '';
    const readable = await storeCredentials(context, server, {
      username: user,
      password: secret,
      // With a token that lasts the password is not kept.
      ...(token === '' ? {} : { password: '', identitytoken: token }),
    });
    if (readable && token === '' && !credentials.known) context.io.err(unencrypted(context));
    context.io.out(`${answer.Status}\n`);
  },
});

/** Docker's warning. */
function unencrypted(context: CommandContext): string {
  const file = `${configDirectory(context.environment, context.globals.config)}/config.json`;
  return `
WARNING! Your credentials are stored unencrypted in '${file}'.
Configure a credential helper to remove this warning. See
https://docs.docker.com/go/credential-store/

`;
}

async function asked(
  context: CommandContext,
  server: string,
  given: { readonly username: string; readonly password: string },
): Promise<{ readonly username: string; readonly password: string; readonly known: boolean }> {
  const { io } = context;
  if (given.username !== '' && given.password !== '') return { ...given, known: false };
  const known = await credentialsFor(context, server);
  if (
    given.username === '' &&
    given.password === '' &&
    known?.username !== undefined &&
    known.username !== '' &&
    known.password !== ''
  ) {
    io.err(`Authenticating with existing credentials... [Username: ${known.username}]\n\n`);
    io.err(" Info -> To login with a different account, run 'berth logout' followed by 'berth login'\n\n");
    return { username: known.username, password: known.password ?? '', known: true };
  }
  if (!io.stdinIsTerminal) throw new ExitError(1, 'Error: Cannot perform an interactive login from a non TTY device');
  const username = given.username === '' ? askLine(io, 'Username: ') : given.username;
  if (username === '') throw new ExitError(1, 'Error: Non-null Username Required');
  const password = given.password === '' ? askSecret(io, 'Password: ') : given.password;
  if (password === '') throw new ExitError(1, 'Error: Password Required');
  return { username, password, known: false };
}

export const logout = defineCommand({
  operands: '[SERVER]',
  count: [0, 1],
  flags: {},
  async run(context, { positionals: [given = ''] }) {
    const server = serverKey(given);
    const shown = server === HUB_SERVER ? server : given;
    context.io.out(`Removing login credentials for ${shown}\n`);
    await eraseCredentials(context, server);
  },
});
