/**
 * Probes by the engine itself: it speaks to a container from inside the container's own network namespace, over a socket
 * that was made there, so the image needs no curl and its loopback is enough. Addresses are numbers: nothing is resolved.
 * Over TLS certificates are not judged, as Kubernetes does not: what is asked is whether the service answers.
 */
import type { ProbeTest } from '#container/health.ts';
import { messageOf } from '#errdefs/errors.ts';
import { errnoName, SysError } from '#sys/errno.ts';
import { close, open, ownedFd } from '#sys/files.ts';
import { O, SOCKET } from '#sys/numbers.ts';
import { openInRoot } from '#sys/safe-path.ts';
import { connectInet, connectUnixFd, socket, socketError } from '#sys/sockets.ts';
import { grpcRequest, GrpcAnswer } from './grpc-health.ts';
import { HttpAnswer, httpRequest } from './http-answer.ts';
import { type ProbeInput, type ProbeOutcome, timedOut } from './probe-input.ts';

type NetworkTest = Exclude<ProbeTest, { kind: 'exec' }>;

/** What is made of the bytes of an answer. */
export interface Answer {
  /** The outcome, once it is known. `reply` goes back to the peer. */
  take(bytes: Uint8Array, reply: (bytes: Uint8Array) => void): ProbeOutcome | undefined;
  /** The peer has closed. */
  end(): ProbeOutcome;
}

const failed = (output: string): ProbeOutcome => ({ exitCode: 1, output });

export async function askNetwork(input: ProbeInput, test: NetworkTest): Promise<ProbeOutcome> {
  const { promise: late, resolve } = Promise.withResolvers<ProbeOutcome>();
  const stop = new AbortController();
  const limit = input.deadlines.in(input.plan.timeoutMs, () => resolve(timedOut(input.plan.timeoutMs, '')));
  const over = (): void => resolve(failed('the container has ended'));
  input.over.addEventListener('abort', over, { once: true });
  try {
    return await Promise.race([ask(input, test, stop.signal), late]);
  } finally {
    limit.cancel();
    stop.abort();
    input.over.removeEventListener('abort', over);
  }
}

async function ask(input: ProbeInput, test: NetworkTest, stop: AbortSignal): Promise<ProbeOutcome> {
  if (test.kind === 'unix') return connectUnix(input, test.path);
  const { host, port } = test.kind === 'http' ? hostOf(test.url) : test;
  const where = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  const fd = await input.sockets.take(input.live, host.includes(':'));
  try {
    await connect(input, fd, host, port);
  } catch (error) {
    close(fd);
    return failed(`connect to ${where}: ${wordsOf(error)}`);
  }
  if (stop.aborted || test.kind === 'tcp') {
    close(fd);
    return { exitCode: 0, output: `connected to ${where}` };
  }
  const [request, answer] =
    test.kind === 'http'
      ? [httpRequest(test.url), new HttpAnswer()]
      : [grpcRequest(where, test.service, test.tls ? 'https' : 'http'), new GrpcAnswer()];
  return converse({ fd, tls: tlsOf(test, host), request, answer, stop });
}

function hostOf(text: string): { host: string; port: number } {
  const url = new URL(text);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return { host, port: url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port) };
}

/** Of a probe that speaks TLS. The protocol's name is a length and its letters. */
function tlsOf(test: Extract<NetworkTest, { kind: 'http' | 'grpc' }>, host: string): object | undefined {
  const secure = test.kind === 'http' ? test.url.startsWith('https:') : test.tls;
  if (!secure) return undefined;
  const name = test.kind === 'http' ? 'http/1.1' : 'h2';
  return {
    rejectUnauthorized: false,
    ALPNProtocols: String.fromCharCode(name.length) + name,
    // Addresses are no names of servers.
    ...(host === 'localhost' ? { serverName: host } : {}),
  };
}

/** Errors: SysError of the connect. */
async function connect(input: ProbeInput, fd: number, host: string, port: number): Promise<void> {
  const ip = host === 'localhost' ? '127.0.0.1' : host;
  if (connectInet(fd, ip, port) === 'connected') return;
  await input.services.pump.whenWritable(fd);
  const errno = socketError(fd);
  if (errno !== 0) throw new SysError('connect', errno);
}

function wordsOf(error: unknown): string {
  if (!(error instanceof SysError)) return messageOf(error);
  const code = errnoName(error.errno);
  if (code === 'ECONNREFUSED') return 'connection refused';
  if (code === 'EHOSTUNREACH' || code === 'ENETUNREACH') return 'network is unreachable';
  return code;
}

interface Conversation {
  readonly fd: number;
  readonly tls: object | undefined;
  readonly request: Uint8Array;
  readonly answer: Answer;
  readonly stop: AbortSignal;
}

/** Sends and listens until the answer is known or the peer goes. The descriptor goes to the runtime's socket. */
async function converse({ fd, tls, request, answer, stop }: Conversation): Promise<ProbeOutcome> {
  const { promise, resolve } = Promise.withResolvers<ProbeOutcome>();
  let agreed = tls === undefined;
  const gone = (): void => resolve(agreed ? answer.end() : failed('the peer did not agree on TLS'));
  const connected = await Bun.connect({
    // as: Bun takes a connected descriptor here (tested), its types do not say so for sockets that are not unix ones.
    ...({ fd, tls } as unknown as { unix: string }),
    socket: {
      data: (peer, bytes) => {
        const outcome = answer.take(bytes, (reply) => void peer.write(reply));
        if (outcome !== undefined) resolve(outcome);
      },
      handshake: (peer) => {
        if (agreed) return;
        agreed = true;
        peer.write(request);
      },
      end: gone,
      close: gone,
      error: (_, error) => resolve(failed(messageOf(error))),
    },
  });
  // A request is some hundred bytes: an empty send buffer takes it whole.
  if (tls === undefined) connected.write(request);
  const aborted = (): void => resolve(failed('given up'));
  stop.addEventListener('abort', aborted, { once: true });
  if (stop.aborted) aborted();
  try {
    return await promise;
  } finally {
    stop.removeEventListener('abort', aborted);
    connected.terminate();
  }
}

/** A path of the container is resolved in its root and connected to by descriptor. */
function connectUnix(input: ProbeInput, path: string): ProbeOutcome {
  try {
    using root = ownedFd(open(`/proc/${input.live.process.pid}/root`, O.PATH | O.DIRECTORY));
    using target = ownedFd(openInRoot(root.fd, path, O.PATH));
    using from = ownedFd(socket(SOCKET.AF_UNIX, SOCKET.STREAM | SOCKET.NONBLOCK));
    connectUnixFd(from.fd, target.fd);
    return { exitCode: 0, output: `connected to ${path}` };
  } catch (error) {
    return failed(`connect to ${path}: ${wordsOf(error)}`);
  }
}
