/** What a remote target's settings make: an encoder of lines and a sender of messages. */
import { fluentdEncoder } from '../fluentd/message.ts';
import { readAcks } from '../fluentd/message-pack.ts';
import { gelfDatagrams, gelfEncoder } from '../gelf/message.ts';
import { journaldEncoder } from '../journald/message.ts';
import type { LogLine } from '../line.ts';
import type { RemoteTarget } from '../remote-target.ts';
import { syslogEncoder } from '../syslog/message.ts';
import { type Message, type Sender, StreamSender, UdpSender, UnixDatagramSender } from './senders.ts';
import type { Endpoint } from '../endpoint.ts';

export interface Driver {
  /** undefined: nothing is sent for the line. 'lost': it cannot be sent. */
  encode(line: LogLine): Message | undefined | 'lost';
  readonly sender: Sender;
  /** Attempts of one batch before it is given up; undefined: as long as there is room. */
  readonly retriesMax: number | undefined;
  readonly retryDelayMs: number;
}

const RETRY_DELAY_MS = 500;

export function driverOf({ settings, identity }: RemoteTarget): Driver {
  switch (settings.driver) {
    case 'syslog': {
      const encode = syslogEncoder(settings, identity);
      return { encode: messageOf(encode), sender: senderOf(settings.endpoint), ...patient };
    }
    case 'gelf': {
      const encode = gelfEncoder(settings, identity);
      const { endpoint, retriesMax, retryDelayMs } = settings;
      const datagrams = endpoint.kind === 'udp';
      return {
        encode: (line) => {
          const bytes = encode(line);
          if (bytes === undefined) return undefined;
          return datagrams && gelfDatagrams(bytes).length === 0 ? 'lost' : { bytes };
        },
        sender: senderOf(endpoint, gelfDatagrams),
        retriesMax,
        retryDelayMs,
      };
    }
    case 'fluentd': {
      const { endpoint, retriesMax, retryDelayMs, requestAck, readLimitMs, writeLimitMs } = settings;
      if (endpoint.kind === 'udp' || endpoint.kind === 'unixgram') throw new TypeError('fluentd speaks over streams');
      const sender = new StreamSender(endpoint, {
        readAcks: requestAck ? readAcks : undefined,
        readLimitMs,
        writeLimitMs,
      });
      return { encode: fluentdEncoder(settings, identity), sender, retriesMax, retryDelayMs };
    }
    case 'journald': {
      const sender = new UnixDatagramSender(settings.socket, true);
      return { encode: messageOf(journaldEncoder(identity)), sender, ...patient };
    }
  }
  return settings satisfies never;
}

const patient = { retriesMax: undefined, retryDelayMs: RETRY_DELAY_MS };

const messageOf =
  (encode: (line: LogLine) => Uint8Array | undefined) =>
  (line: LogLine): Message | undefined => {
    const bytes = encode(line);
    return bytes === undefined ? undefined : { bytes };
  };

function senderOf(endpoint: Endpoint, split = (message: Uint8Array): readonly Uint8Array[] => [message]): Sender {
  if (endpoint.kind === 'udp') return new UdpSender(endpoint, split);
  return endpoint.kind === 'unixgram' ? new UnixDatagramSender(endpoint.path, false) : new StreamSender(endpoint);
}
