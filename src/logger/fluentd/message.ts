/** fluentd's forward protocol, message mode: `[tag, time, record, option]` in MessagePack. */
import { randomBytes } from 'node:crypto';
import { type LogLine, streamName } from '../line.ts';
import type { Identity } from '../remote-target.ts';
import { array, eventTime, mapHead, seconds, textOf } from './message-pack.ts';
import type { FluentdSettings } from './options.ts';

const SECOND = 1_000_000_000n;
const CHUNK_ID_BYTES = 16;

/** `chunk` is what the remote answers with, where it is asked to. */
export interface ForwardMessage {
  readonly bytes: Uint8Array;
  readonly chunk: string | undefined;
}

export function fluentdEncoder(settings: FluentdSettings, identity: Identity): (line: LogLine) => ForwardMessage {
  const tag = textOf(identity.tag);
  const fixed = Object.entries({
    container_id: identity.containerId,
    container_name: `/${identity.containerName}`,
    ...identity.attributes,
  }).map(([name, value]) => Buffer.concat([textOf(name), textOf(value)]));
  return ({ stream, ns, text, piece }) => {
    const fields = [...fixed, textOf('source'), textOf(streamName(stream)), textOf('log'), textOf(text)];
    let count = fixed.length + 2;
    if (piece !== undefined) {
      const partial = {
        partial_message: 'true',
        partial_id: piece.id,
        partial_ordinal: String(piece.ordinal),
        partial_last: String(piece.last),
      };
      for (const [name, value] of Object.entries(partial)) fields.push(textOf(name), textOf(value));
      count += Object.keys(partial).length;
    }
    const whole = Number(ns / SECOND);
    const time = settings.subSecond ? eventTime(whole, Number(ns % SECOND)) : seconds(whole);
    const chunk = settings.requestAck ? randomBytes(CHUNK_ID_BYTES).toString('base64') : undefined;
    const option = chunk === undefined ? [mapHead(0)] : [mapHead(1), textOf('chunk'), textOf(chunk)];
    return { bytes: Buffer.concat([array(4), tag, time, mapHead(count), ...fields, ...option]), chunk };
  };
}
