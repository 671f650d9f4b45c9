/** The Worker that carries connections and datagrams of published ports to containers. */
import * as dgram from 'node:dgram';
import * as net from 'node:net';
import { log } from '#pkg/log/log.ts';
import type { ProxyCommand, ProxyTarget } from './proxy.ts';

declare const self: Worker;

const CLIENTS_MAX = 4_096;
/** As docker-proxy's. */
const UDP_IDLE_MS = 90_000;

interface Port {
  close(): void;
}

const ports = new Map<string, Port>();

function openTcp(fd: number, { ip, port }: ProxyTarget): Port {
  const clients = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (client) => {
    clients.add(client);
    const inner = net.connect({ host: ip, port, allowHalfOpen: true });
    const end = (): void => {
      client.destroy();
      inner.destroy();
    };
    client.on('error', end);
    inner.on('error', end);
    client.pipe(inner);
    inner.pipe(client);
    inner.on('close', () => client.destroy());
    client.on('close', () => {
      clients.delete(client);
      inner.destroy();
    });
  });
  server.maxConnections = CLIENTS_MAX;
  server.on('error', (err) => log.warn('a published port is not served', { ip, port, err }));
  server.listen({ fd });
  return {
    close: () => {
      server.close();
      for (const client of clients) client.destroy();
    },
  };
}

interface Flow {
  readonly socket: dgram.Socket;
  readonly timer: NodeJS.Timeout;
}

function openUdp(fd: number, { ip, port }: ProxyTarget): Port {
  const family = ip.includes(':') ? 'udp6' : 'udp4';
  const outer = dgram.createSocket(family);
  const flows = new Map<string, Flow>();
  const drop = (key: string): void => {
    const flow = flows.get(key);
    if (flow === undefined) return;
    flows.delete(key);
    clearTimeout(flow.timer);
    flow.socket.close();
  };
  outer.on('error', (err) => log.warn('a published port is not served', { ip, port, err }));
  outer.on('message', (datagram, client) => {
    const key = `${client.address} ${client.port}`;
    let flow = flows.get(key);
    if (flow === undefined) {
      const [oldest] = flows.keys();
      if (flows.size >= CLIENTS_MAX && oldest !== undefined) drop(oldest);
      const socket = dgram.createSocket(family);
      socket.on('error', () => drop(key));
      socket.on('message', (answer) => outer.send(answer, client.port, client.address));
      flow = { socket, timer: setTimeout(() => drop(key), UDP_IDLE_MS) };
      flows.set(key, flow);
    }
    flow.timer.refresh();
    flow.socket.send(datagram, port, ip);
  });
  outer.bind({ fd });
  return {
    close: () => {
      for (const key of [...flows.keys()]) drop(key);
      outer.close();
    },
  };
}

self.onmessage = ({ data }: MessageEvent<ProxyCommand>) => {
  ports.get(data.key)?.close();
  ports.delete(data.key);
  if (data.op === 'close') return;
  ports.set(data.key, data.target.protocol === 'tcp' ? openTcp(data.fd, data.target) : openUdp(data.fd, data.target));
};
