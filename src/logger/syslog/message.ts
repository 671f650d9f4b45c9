/**
 * Syslog messages in dockerd's three forms and the one of local daemons. The time is the line's own, not the one of its
 * sending. A tag that a tool could take for several words is sent as it is, as dockerd does.
 */
import type { LineEncoder } from '../line.ts';
import type { Identity } from '../remote-target.ts';
import type { SyslogSettings } from './options.ts';

const SEVERITY_ERROR = 3;
const SEVERITY_INFO = 6;
const NANOSECONDS_PER_MS = 1_000_000n;
const NEWLINE = Uint8Array.of(10);
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;

export function syslogEncoder(settings: SyslogSettings, identity: Identity, pid = process.pid): LineEncoder {
  const { tag, hostname } = identity;
  const head = (priority: number, ns: bigint): string => {
    switch (settings.format) {
      case 'unix':
        return `<${priority}>${stamp(ns)} ${tag}[${pid}]: `;
      case 'rfc3164':
        return `<${priority}>${stamp(ns)} ${hostname} ${tag}[${pid}]: `;
      case 'rfc5424':
        return `<${priority}>1 ${rfc3339(ns, false)} ${hostname} ${tag} ${pid} ${tag} - `;
      case 'rfc5424micro':
        return `<${priority}>1 ${rfc3339(ns, true)} ${hostname} ${tag} ${pid} ${tag} - `;
    }
    return settings.format satisfies never;
  };
  const counted = settings.format.startsWith('rfc5424') && settings.endpoint.kind === 'tcp' && settings.endpoint.tls;
  return ({ stream, ns, text }) => {
    // As dockerd.
    if (text.length === 0) return undefined;
    const priority = settings.facility + (stream === 2 ? SEVERITY_ERROR : SEVERITY_INFO);
    const message = Buffer.concat([Buffer.from(head(priority, ns)), text, NEWLINE]);
    // RFC 5425, which is for TLS alone.
    return counted ? Buffer.concat([Buffer.from(`${message.length} `), message]) : message;
  };
}

const two = (n: number) => String(n).padStart(2, '0');

/** Go's time.Stamp, in local time. */
function stamp(ns: bigint): string {
  const at = new Date(Number(ns / NANOSECONDS_PER_MS));
  const day = String(at.getDate()).padStart(2, ' ');
  return `${months[at.getMonth()] ?? ''} ${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** In local time with its offset. */
function rfc3339(ns: bigint, micro: boolean): string {
  const at = new Date(Number(ns / NANOSECONDS_PER_MS));
  const offset = -at.getTimezoneOffset();
  const zone =
    offset === 0
      ? 'Z'
      : `${offset < 0 ? '-' : '+'}${two(Math.floor(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`;
  const local = new Date(at.getTime() + offset * 60_000).toISOString().slice(0, 19);
  const fraction = micro ? `.${String((ns / 1000n) % 1_000_000n).padStart(6, '0')}` : '';
  return `${local}${fraction}${zone}`;
}
