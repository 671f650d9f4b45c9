import { expect, test } from 'bun:test';
import { withAddress } from './network-address.ts';

const lookUp = (host: string) =>
  host === 'nas' ? Promise.resolve({ address: '10.1.2.3' }) : Promise.reject(new Error(`lookup ${host}: no such host`));
const of = async (type: string, source: string, data: string) =>
  (await withAddress({ type, source, flags: 0, data }, lookUp)).data;

test.each([
  ['nfs', ':/export', 'addr=nas,soft', 'soft,addr=10.1.2.3'],
  ['nfs', ':/export', 'soft,addr=10.0.0.1', 'soft,addr=10.0.0.1'],
  ['nfs4', ':/export', 'addr=fe80::1', 'addr=fe80::1'],
  ['nfs', 'nas:/export', 'soft', 'soft'],
  ['cifs', '//nas/share', 'username=u', 'username=u,addr=10.1.2.3'],
  ['cifs', '//10.9.8.7/share', '', 'addr=10.9.8.7'],
  ['cifs', '//nas/share', 'ip=10.0.0.1', 'ip=10.0.0.1'],
  ['ext4', '/dev/x', 'addr=nas', 'addr=nas'],
])('%s %s %s', async (type, source, data, result) => {
  expect(await of(type, source, data)).toBe(result);
});

test('a name that nobody knows is told', () => {
  expect(of('nfs', ':/x', 'addr=nosuch')).rejects.toThrow('lookup nosuch: no such host');
});
