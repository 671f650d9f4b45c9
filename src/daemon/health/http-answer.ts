/** One GET over HTTP/1.1 and what its answer says of health: a status from 200 to 399 is a good one, as with Kubernetes. */
import { OUTPUT_BYTES_MAX, outputText } from '#container/health.ts';
import type { ProbeOutcome } from './probe-input.ts';

const HEAD_BYTES_MAX = 65_536;

export function httpRequest(text: string): Uint8Array {
  const { host, pathname, search } = new URL(text);
  return Buffer.from(
    `GET ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: berth-probe/1\r\nAccept: */*\r\nConnection: close\r\n\r\n`,
  );
}

export class HttpAnswer {
  #bytes: Buffer = Buffer.alloc(0);

  take(bytes: Uint8Array): ProbeOutcome | undefined {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    const head = this.#head();
    if (head === undefined) {
      return this.#bytes.length > HEAD_BYTES_MAX
        ? { exitCode: 1, output: 'the head of the answer is too long' }
        : undefined;
    }
    const body = this.#bytes.length - head.length;
    return body >= Math.min(head.contentLength, OUTPUT_BYTES_MAX) ? this.#outcome(head) : undefined;
  }

  end(): ProbeOutcome {
    const head = this.#head();
    return head === undefined
      ? { exitCode: 1, output: 'the connection was closed without an answer' }
      : this.#outcome(head);
  }

  #head(): { length: number; contentLength: number; line: string; status: number } | undefined {
    const end = this.#bytes.indexOf('\r\n\r\n');
    if (end < 0) return undefined;
    const [line = '', ...fields] = this.#bytes.toString('latin1', 0, end).split('\r\n');
    const status = /^HTTP\/1\.[01] (\d{3})(?: |$)/.exec(line)?.[1];
    const length = fields.map((field) => /^content-length:\s*(\d+)\s*$/i.exec(field)?.[1]).find((l) => l !== undefined);
    return {
      length: end + 4,
      // Without a length the body ends with the connection.
      contentLength: length === undefined ? Number.POSITIVE_INFINITY : Number(length),
      line,
      status: Number(status ?? 0),
    };
  }

  #outcome(head: { length: number; line: string; status: number }): ProbeOutcome {
    const good = head.status >= 200 && head.status < 400;
    const body = this.#bytes.subarray(head.length);
    const words = head.status === 0 ? 'the answer is not HTTP/1.1' : head.line;
    return { exitCode: good ? 0 : 1, output: `${words}\n${outputText(body, false)}` };
  }
}
