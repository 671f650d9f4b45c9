/** A body of JSON values, one a line, decoded as they arrive (progress, events, build output). */
import { dataLoss } from '#errdefs/errors.ts';

const LINE_BYTES_MAX = 16 * 1024 * 1024;

// as: T is the wire type that the API documents for the stream; the caller names it.
export async function* jsonLines<T>(
  body: ReadableStream<Uint8Array> | null,
  parse: (line: string) => unknown = JSON.parse,
): AsyncGenerator<T, void, undefined> {
  if (body === null) return;
  const decoder = new TextDecoder();
  let rest = '';
  for await (const chunk of body) {
    rest += decoder.decode(chunk, { stream: true });
    if (rest.length > LINE_BYTES_MAX) throw dataLoss('Cannot read the answer: a line has no end');
    let newline = rest.indexOf('\n');
    while (newline >= 0) {
      const line = rest.slice(0, newline).trim();
      rest = rest.slice(newline + 1);
      if (line !== '') yield decode(line, parse) as T;
      newline = rest.indexOf('\n');
    }
  }
  if (rest.trim() !== '') yield decode(rest, parse) as T;
}

function decode(line: string, parse: (line: string) => unknown): unknown {
  try {
    return parse(line);
  } catch (error) {
    throw dataLoss(`Cannot read the answer: ${line.slice(0, 200)}`, { cause: error });
  }
}
