import { expect, test } from 'bun:test';
import { linkEnv } from './link-env.ts';

const linked = (ExposedPorts: Record<string, Record<string, never>>, Env: string[] = []) =>
  linkEnv({ alias: 'my-db', name: '/web/my-db', ip: '172.17.0.2', config: { ExposedPorts, Env } });

test('no ports: its name and its variables, without those that every container has', () => {
  expect(linked({}, ['PATH=/bin', 'HOME=/', 'A=1', 'EMPTY=', 'NONE'])).toEqual([
    'MY_DB_NAME=/web/my-db',
    'MY_DB_ENV_A=1',
    'MY_DB_ENV_EMPTY=',
  ]);
});

test('ports in the order of dockerd, ranges first', () => {
  const lines = linked({ '8002/tcp': {}, '5432/tcp': {}, '53/udp': {}, '8000/tcp': {}, '8001/tcp': {} });
  expect(lines.slice(0, 9)).toEqual([
    'MY_DB_PORT=udp://172.17.0.2:53',
    'MY_DB_PORT_8000_TCP_START=tcp://172.17.0.2:8000',
    'MY_DB_PORT_8000_TCP_ADDR=172.17.0.2',
    'MY_DB_PORT_8000_TCP_PROTO=tcp',
    'MY_DB_PORT_8000_TCP_PORT_START=8000',
    'MY_DB_PORT_8000_TCP_END=tcp://172.17.0.2:8002',
    'MY_DB_PORT_8000_TCP_PORT_END=8002',
    'MY_DB_PORT_53_UDP=udp://172.17.0.2:53',
    'MY_DB_PORT_53_UDP_ADDR=172.17.0.2',
  ]);
  expect(linked({ '80/tcp': {}, '81/tcp': {} }).join()).not.toContain('START');
});
