/** Flags before the command: which daemon, and how it is reached. */
import { flag, type FlagValues, list, text } from './flags/flag-spec.ts';

export const GLOBAL_FLAGS = {
  host: list('Daemon socket to connect to', { shorthand: 'H' }),
  tls: flag('Use TLS; implied by --tlsverify'),
  tlscacert: text('Trust certs signed only by this CA'),
  tlscert: text('Path to TLS certificate file'),
  tlskey: text('Path to TLS key file'),
  tlsverify: flag('Use TLS and verify the remote'),
  version: flag('Print version information and quit', { shorthand: 'v' }),
};
export type GlobalValues = FlagValues<typeof GLOBAL_FLAGS>;
