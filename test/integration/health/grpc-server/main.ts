/**
 * A gRPC health service on 127.0.0.1: `service=status` lines on stdin change what it says; `missing` is not known.
 * With `tls` as the second argument it speaks TLS, and on the next port HTTPS.
 */
import * as http2 from 'node:http2';
import * as https from 'node:https';
import { certificate } from './certificate.ts';

const statuses = new Map<string, string>([['db', '1']]);
process.stdin.on('data', (bytes: Buffer) => {
  for (const line of bytes.toString().split('\n')) {
    const [service = '', status] = line.split('=');
    if (status !== undefined) statuses.set(service, status);
  }
});
process.stdin.on('end', () => process.exit(0));

const port = Number(process.argv[2]);
const tls = process.argv[3] === 'tls';
const server = tls ? http2.createSecureServer(certificate) : http2.createServer();
server.on('stream', (stream: http2.ServerHttp2Stream, headers) => {
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('end', () => {
    const service = Buffer.concat(chunks).subarray(7).toString();
    const status = headers[':path'] === '/grpc.health.v1.Health/Check' ? statuses.get(service) : undefined;
    if (status === undefined || status === 'missing') {
      stream.respond({ ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '5' }, { endStream: true });
      return;
    }
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0' }));
    stream.end(Buffer.of(0, 0, 0, 0, 2, 8, Number(status)));
  });
});
server.listen(port, '127.0.0.1');
if (tls) https.createServer(certificate, (_, answer) => answer.end('secret')).listen(port + 1, '127.0.0.1');
