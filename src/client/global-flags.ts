/** Flags before the command: which daemon, and how it is reached. */
import { flag, type FlagValues, list, text } from './flags/flag-spec.ts';

export const GLOBAL_FLAGS = {
  config: text('Location of client config files (default ~/.docker)'),
  context: text(
    'Name of the context to use to connect to the daemon (overrides DOCKER_HOST env var and default context set with "berth context use")',
    { shorthand: 'c' },
  ),
  debug: flag('Show what failed and where, for reports of bugs', { shorthand: 'D' }),
  host: list('Daemon socket to connect to', { shorthand: 'H' }),
  'log-level': text('Accepted for scripts that give it; this client writes no log', {
    shorthand: 'l',
    initial: 'info',
  }),
  tls: flag('Use TLS; implied by --tlsverify'),
  tlscacert: text('Trust certs signed only by this CA'),
  tlscert: text('Path to TLS certificate file'),
  tlskey: text('Path to TLS key file'),
  tlsverify: flag('Use TLS and verify the remote'),
  version: flag('Print version information and quit', { shorthand: 'v' }),
};
export type GlobalValues = FlagValues<typeof GLOBAL_FLAGS>;
