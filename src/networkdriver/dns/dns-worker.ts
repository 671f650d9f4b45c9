/** The Worker that serves the DNS of all containers: their sockets live in their namespaces, the thread does not. */
import * as net from 'node:net';
import { log } from '#pkg/log/log.ts';
import { EgressNames } from './egress.ts';
import { Forwarder, framed, TcpMessages } from './forward.ts';
import { answerTo, parseQuestion, type Question, RCODE } from './message.ts';
import type { DnsCommand, DnsReport } from './protocol.ts';
import { NameTables } from './tables.ts';

declare const self: Worker;

const CONNECTIONS_MAX = 100;
const CONNECTION_IDLE_MS = 10_000;

const tables = new NameTables();
const forwarder = new Forwarder();
const egress = new EgressNames();
type UdpSocket = Bun.udp.Socket<'uint8array'>;

interface Served {
  udp?: UdpSocket;
  tcp?: net.Server;
}

const serving = new Map<string, Served>();

/** Stands for the host where containers have their ids. */
const HOST = '';
/** Where the host's questions come from. */
let hostAddress = '';

const tell = (report: DnsReport): void => self.postMessage(report);

/** Undefined: what was asked is no question. What is known here is answered in the same turn; never rejects. */
function resolve(
  container: string,
  query: Uint8Array,
  tcp: boolean,
): Uint8Array | undefined | Promise<Uint8Array | undefined> {
  const question = parseQuestion(query);
  if (question === undefined) return undefined;
  if (container === HOST) return tables.answerHost(query, question);
  const known = tables.answer(container, query, question);
  if (known !== undefined) return known;
  if (!egress.isAllowed(tables.egressOf(container), question.name)) {
    tell({ kind: 'denied', container, name: question.name });
    return answerTo(query, question, { code: RCODE.nameError });
  }
  // The memory of a datagram is the next one's after this turn.
  return askOthers(container, query.slice(), question, tcp);
}

async function askOthers(container: string, query: Uint8Array, question: Question, tcp: boolean): Promise<Uint8Array> {
  const answer = await forwarder.ask(query, question, tables.upstreamOf(container), tcp);
  if (answer === undefined || !open(container, question.name, answer)) {
    return answerTo(query, question, { code: RCODE.serverFailure });
  }
  return answer;
}

/** Before the container knows an address it can reach it. False: it could not. */
function open(container: string, name: string, answer: Uint8Array): boolean {
  // As it is by now: the policy may have changed while others were asked.
  const view = tables.egressOf(container);
  if (view === undefined) return true;
  if (!egress.isAllowed(view, name)) return false;
  try {
    egress.learn(container, view, name, answer);
    return true;
  } catch (err) {
    log.error('what a name leads to cannot be opened', { container, name, err });
    return false;
  }
}

function serve(container: string, udpFd: number, tcpFd: number): void {
  end(container);
  const served: Served = {};
  serving.set(container, served);
  void listenUdp(container, udpFd, served);
  const tcp = net.createServer((socket) => converse(container, socket));
  tcp.maxConnections = CONNECTIONS_MAX;
  tcp.on('error', (err) => log.debug('dns server failed', { container, err }));
  tcp.listen({ fd: tcpFd });
  served.tcp = tcp;
}

async function listenUdp(container: string, fd: number, served: Served): Promise<void> {
  const isServed = (): boolean => serving.get(container) === served;
  const data = (udp: UdpSocket, query: Uint8Array, port: number, address: string): void => {
    // A container reaches the bridge's address too: what is on networks of others is not its business.
    if (container === HOST && address !== hostAddress) return;
    const answer = resolve(container, query, false);
    if (answer instanceof Promise) {
      void answer.then((late) => {
        if (late !== undefined && isServed()) udp.send(late, port, address);
      });
    } else if (answer !== undefined) udp.send(answer, port, address);
  };
  const error = (_: UdpSocket, err: Error): void => log.debug('dns socket failed', { container, err });
  // The runtime takes a descriptor, of which its types know nothing.
  const options: Bun.udp.SocketOptions<'uint8array'> & { readonly fd: number } = {
    fd,
    binaryType: 'uint8array',
    socket: { data, error },
  };
  try {
    served.udp = await Bun.udpSocket(options);
    if (!isServed()) served.udp.close();
  } catch (err) {
    log.error('names of a container are not served', { container, err });
  }
}

function converse(container: string, socket: net.Socket): void {
  socket.setTimeout(CONNECTION_IDLE_MS, () => socket.destroy());
  socket.on('error', () => socket.destroy());
  if (container === HOST && socket.remoteAddress !== hostAddress) {
    socket.destroy();
    return;
  }
  const reader = new TcpMessages((query) => {
    void Promise.resolve(resolve(container, query, true)).then((answer) => {
      if (answer === undefined) socket.destroy();
      else if (!socket.destroyed) socket.write(framed(answer));
    });
  });
  socket.on('data', (bytes: Buffer) => reader.push(bytes));
}

function end(container: string): void {
  const old = serving.get(container);
  serving.delete(container);
  old?.udp?.close();
  old?.tcp?.close();
}

// One question that goes wrong in an unforeseen way must not end the names of all containers.
process.on('uncaughtException', (err) => log.error('a question to the DNS server failed', { err }));

self.onmessage = ({ data }: MessageEvent<DnsCommand>) => {
  switch (data.op) {
    case 'networks':
      return tables.setNetworks(data.networks);
    case 'serve':
      tables.setView(data.container, data.view);
      egress.again(data.container, data.view.egress);
      return serve(data.container, data.udp, data.tcp);
    case 'view':
      tables.setView(data.container, data.view);
      return egress.again(data.container, data.view.egress);
    case 'learned':
      return tell({ kind: 'learned', ticket: data.ticket, learned: egress.learnedBy(data.container) });
    case 'end':
      tables.forget(data.container);
      egress.forget(data.container);
      return end(data.container);
    case 'serve-host':
      hostAddress = data.address;
      return serve(HOST, data.udp, data.tcp);
    case 'end-host':
      end(HOST);
      return tell({ kind: 'learned', ticket: data.ticket, learned: [] });
    case 'repaired':
      for (const container of serving.keys()) egress.again(container, tables.egressOf(container));
      return;
  }
};
