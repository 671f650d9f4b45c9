/** The context that a client gives by its standard input: an address that only its session answers to. */
import { pullUpload } from '#builder/buildkit/session-methods.ts';
import type { Session } from '#builder/buildkit/session.ts';

const PREFIX = 'http://buildkit-session/';

export const isSessionAddress = (address: string): boolean => address.startsWith(PREFIX);

/** Errors: not-implemented when the client offers none; unavailable. */
export async function* uploaded(session: Session, address: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const path = `/${address.slice(PREFIX.length)}`;
  const metadata = [
    ['urlpath', path],
    ['urlhost', 'buildkit-session'],
  ] as const;
  using call = await session.call(pullUpload, { metadata, signal });
  await call.end();
  for await (const { data } of call.answers()) yield data;
}
