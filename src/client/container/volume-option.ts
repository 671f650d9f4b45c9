/** `-v`: binds and named volumes go to the daemon as they are; a path alone asks for an anonymous volume. */
import { nodePath } from '../node-modules.ts';

export function splitVolumes(texts: readonly string[]): {
  readonly binds: readonly string[];
  readonly anonymous: readonly string[];
} {
  const binds: string[] = [];
  const anonymous: string[] = [];
  for (const text of texts) {
    const colon = text.indexOf(':');
    if (colon < 0) anonymous.push(text);
    // A relative path is relative to here; the daemon has another working directory.
    else if (text.startsWith('.')) binds.push(nodePath().resolve(text.slice(0, colon)) + text.slice(colon));
    else binds.push(text);
  }
  return { binds, anonymous };
}
