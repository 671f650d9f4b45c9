/** `-p [ip:][hostPort:]containerPort[/proto]` and `--expose`, with ranges; also docker's long form is read. */
import type { PortMap } from '#api/types/network.ts';
import { messageOf } from '#errdefs/errors.ts';
import { splitCsv } from './csv.ts';
import { isAddress } from './ip.ts';

export type ExposedPorts = Record<string, Record<string, never>>;

const PROTOCOLS = new Set(['tcp', 'udp', 'sctp']);
const PORT_MAX = 65535;

/** [first, last]; empty is [0, 0]: any. */
function rangeOf(text: string, what: string): readonly [number, number] {
  if (text === '') return [0, 0];
  const match = /^(\d+)(?:-(\d+))?$/.exec(text);
  const first = Number(match?.[1]);
  const last = Number(match?.[2] ?? match?.[1]);
  if (match === null || first > PORT_MAX || last > PORT_MAX || last < first)
    throw new Error(`invalid ${what}: ${text}`);
  return [first, last];
}

function protocolOf(text: string): string {
  const protocol = text.toLowerCase();
  if (!PROTOCOLS.has(protocol)) throw new Error(`invalid proto: ${text}`);
  return protocol;
}

export function parsePublished(texts: readonly string[]): {
  readonly exposed: ExposedPorts;
  readonly bindings: PortMap;
} {
  const exposed: ExposedPorts = {};
  const bindings: PortMap = {};
  for (const text of texts) {
    for (const [port, binding] of onePublished(text.includes('=') ? shortForm(text) : text)) {
      exposed[port] = {};
      bindings[port] = [...(bindings[port] ?? []), binding];
    }
  }
  return { exposed, bindings };
}

/** `published=80,target=8080,protocol=udp` → `80:8080/udp`. */
function shortForm(text: string): string {
  const fields = new Map(
    splitCsv(text).map((field) => {
      const [key = '', value = ''] = field.split(/=(.*)/s);
      if (!['published', 'target', 'protocol', 'mode'].includes(key)) throw new Error(`invalid field key: ${key}`);
      return [key, value];
    }),
  );
  if (fields.get('target') === undefined) throw new Error(`invalid port: ${text}: target is required`);
  return `${fields.get('published') ?? ''}:${fields.get('target') ?? ''}/${fields.get('protocol') ?? 'tcp'}`;
}

function* onePublished(text: string): Generator<readonly [string, { HostIp: string; HostPort: string }]> {
  const [ports = '', protocolText = 'tcp'] = text.split('/');
  const protocol = protocolOf(protocolText);
  const [, ip6, rest = ports] = /^\[([^\]]*)\]:(.*)$/.exec(ports) ?? [];
  const parts = rest.split(':');
  const containerText = parts.pop() ?? '';
  const hostText = parts.pop() ?? '';
  const ip = ip6 ?? parts.join(':');
  if (ip !== '' && !isAddress(ip)) throw new Error(`invalid IP address: ${ip}`);
  if (containerText === '') throw new Error(`no port specified: ${text}<empty>`);
  const [first, last] = rangeOf(containerText, 'containerPort');
  const [hostFirst, hostLast] = rangeOf(hostText, 'hostPort');
  const count = last - first;
  // One container port may take any of a range of host ports; otherwise the ranges are paired.
  const anyOf = count === 0 && hostLast > hostFirst;
  if (hostText !== '' && !anyOf && hostLast - hostFirst !== count) {
    throw new Error(`invalid ranges specified for container and host Ports: ${containerText} and ${hostText}`);
  }
  for (let i = 0; i <= count; i++) {
    const host = hostText === '' ? '' : anyOf ? hostText : String(hostFirst + i);
    yield [`${first + i}/${protocol}`, { HostIp: ip, HostPort: host }];
  }
}

export function parseExposed(texts: readonly string[]): ExposedPorts {
  const exposed: ExposedPorts = {};
  for (const text of texts) {
    if (text.includes(':')) throw new Error(`invalid port format for --expose: ${text}`);
    const [ports = '', protocolText = 'tcp'] = text.split('/');
    let range: readonly [number, number];
    try {
      range = rangeOf(ports, 'port');
    } catch (error) {
      throw new Error(`invalid range format for --expose: ${text}, error: ${messageOf(error)}`, { cause: error });
    }
    for (let port = range[0]; port <= range[1]; port++) exposed[`${port}/${protocolOf(protocolText)}`] = {};
  }
  return exposed;
}
