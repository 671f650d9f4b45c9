import { expect, test } from 'bun:test';
import { fstatSync } from 'node:fs';
import { close, memfdCreate, setNonBlocking, writeAll } from './files.ts';
import {
  accept,
  bindPort,
  netlinkSocket,
  peerCredentials,
  recvmsg,
  sendmsg,
  sendWhole,
  socketpair,
  unixConnect,
  unixListen,
} from './sockets.ts';

test('bytes and descriptors come through a pair of sockets', () => {
  const [a, b] = socketpair();
  const fd = memfdCreate('sent');
  writeAll(fd, Buffer.from('12345'));
  sendWhole(a, Buffer.from('hello'), [fd, fd]);
  const received = recvmsg(b, 100);
  expect(Buffer.from(received?.bytes ?? []).toString()).toBe('hello');
  expect(received?.descriptors.map((d) => fstatSync(d).size)).toEqual([5, 5]);
  for (const each of [a, b, fd, ...(received?.descriptors ?? [])]) close(each);
});

test('a descriptor goes with the first byte of its message, and once', () => {
  const [a, b] = socketpair();
  sendWhole(a, Buffer.from('first'));
  sendWhole(a, Buffer.from('second'), [a]);
  sendWhole(a, Buffer.from('third'));
  const got: [string, number][] = [];
  for (let text = ''; text !== 'firstsecondthird'; ) {
    const received = recvmsg(b, 100);
    text += Buffer.from(received?.bytes ?? []).toString();
    got.push([text, received?.descriptors.length ?? 0]);
    for (const fd of received?.descriptors ?? []) close(fd);
  }
  expect(got.map(([, count]) => count).reduce((x, y) => x + y)).toBe(1);
  expect(got.find(([text]) => text === 'first')?.[1] ?? 0).toBe(0);
  for (const fd of [a, b]) close(fd);
});

test('a full or empty non-blocking socket is undefined, a closed peer no bytes', () => {
  const [a, b] = socketpair();
  setNonBlocking(a);
  setNonBlocking(b);
  expect(recvmsg(b, 10)).toBeUndefined();
  while (sendmsg(a, new Uint8Array(32_768)) !== undefined);
  close(a);
  while ((recvmsg(b, 32_768)?.bytes.length ?? 0) > 0);
  expect(recvmsg(b, 10)?.bytes.length).toBe(0);
  close(b);
});

test('the peer of a unix socket is known', () => {
  const path = `@berth-test-${process.pid}`;
  const listener = unixListen(path);
  const client = unixConnect(path);
  const server = accept(listener) ?? -1;
  expect(peerCredentials(server)).toEqual({
    pid: process.pid,
    uid: process.getuid?.() ?? -1,
    gid: process.getgid?.() ?? -1,
  });
  for (const fd of [listener, client, server]) close(fd);
});

test('a port is held without listening', () => {
  const held = bindPort('tcp', '127.0.0.1', 0);
  expect(held.port).toBeGreaterThan(0);
  expect(() => bindPort('tcp', '127.0.0.1', held.port)).toThrow('EADDRINUSE');
  close(held.fd);
  const six = bindPort('udp', '::1', 0);
  expect(six.port).toBeGreaterThan(0);
  close(six.fd);
});

test('netlink sockets open', () => {
  close(netlinkSocket(0));
});
