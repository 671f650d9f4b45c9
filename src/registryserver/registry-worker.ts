/** The Worker of a registry thread: it gets its configuration, serves until it is told to stop, and says so. */
import { type ErrorKind, kindOf, messageOf } from '#errdefs/errors.ts';
import { type LogLevel, setLogLevel } from '#pkg/log/log.ts';
import type { RegistryConfig } from './config.ts';
import { RegistryServer } from './server.ts';

export type ToRegistry =
  | { readonly kind: 'start'; readonly config: RegistryConfig; readonly logLevel: LogLevel }
  | { readonly kind: 'stop' };

export type FromRegistry =
  | { readonly kind: 'listening'; readonly url: string }
  | { readonly kind: 'failed'; readonly error: ErrorKind; readonly message: string }
  | { readonly kind: 'stopped' };

declare const self: Worker;

let server: RegistryServer | undefined;

self.onmessage = (event: MessageEvent<ToRegistry>) => {
  void take(event.data);
};

async function take(message: ToRegistry): Promise<void> {
  const tell = (answer: FromRegistry): void => self.postMessage(answer);
  try {
    if (message.kind === 'start') {
      setLogLevel(message.logLevel);
      server = await RegistryServer.start(message.config);
      tell({ kind: 'listening', url: server.url });
      return;
    }
    await server?.stop();
    tell({ kind: 'stopped' });
  } catch (error) {
    tell({ kind: 'failed', error: kindOf(error), message: messageOf(error) });
  }
}
