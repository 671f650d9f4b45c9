/** Turns the runtime's connection errors into what a user can act on. */
import { ConnectionError } from './api-error.ts';
import type { HostAddress } from './address.ts';

export function connectionFailure(address: HostAddress, error: unknown): ConnectionError {
  const code = codeOf(error);
  switch (code) {
    case 'EACCES':
    case 'EPERM':
      return new ConnectionError(
        `permission denied while trying to connect to the Berth daemon socket at ${address.shown}`,
        error,
        'Use sudo, or join the group that owns the socket (ls -l shows it) and log in again.',
      );
    case 'ENOENT':
    case 'ECONNREFUSED':
    case 'ConnectionRefused':
    case 'FailedToOpenSocket':
    case 'ENOTSOCK':
      return new ConnectionError(
        `Cannot connect to the Berth daemon at ${address.shown}. Is the berth daemon running?`,
        error,
        address.kind === 'unix'
          ? 'Start it by `systemctl start berth` or `berth daemon`; `berth doctor` tells what it may lack.'
          : 'See whether the address is right: `berth context ls`.',
      );
    default: {
      // The runtime's advice to programmers is none to users.
      const text = (error instanceof Error ? error.message : String(error)).replace(
        / For more information, pass .*$/s,
        '',
      );
      return new ConnectionError(`error during connect: ${address.shown}: ${text}`, error);
    }
  }
}

function codeOf(error: unknown): string {
  if (typeof error !== 'object' || error === null || !('code' in error)) return '';
  return typeof error.code === 'string' ? error.code : '';
}
