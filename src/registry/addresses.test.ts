import { expect, test } from 'bun:test';
import { Addresses } from './addresses.ts';
import { RegistryClient } from './registry-client.ts';
import { defaultRegistrySettings } from './settings.ts';

test('names are looked up once for some time, addresses never; what fails is nothing', async () => {
  const asked: string[] = [];
  let nowMs = 0;
  const addresses = new Addresses(
    () => nowMs,
    async (name) => {
      asked.push(name);
      if (name === 'nowhere.example') throw new Error('ENOTFOUND');
      return ['10.0.0.1'];
    },
  );
  expect(await addresses.of('a.example:5000')).toEqual(['10.0.0.1']);
  expect(await addresses.of('A.example')).toEqual(['10.0.0.1']);
  for (const host of ['10.0.0.1:5000', '[fd00::1]:5000']) expect(await addresses.of(host)).toEqual([]);
  expect(await addresses.of('nowhere.example')).toEqual([]);
  expect(asked).toEqual(['a.example', 'nowhere.example']);
  nowMs = 60_000;
  await addresses.of('a.example');
  expect(asked.length).toBe(3);
});

test('a CIDR of insecure registries means those whose names lead there', async () => {
  const settings = { ...defaultRegistrySettings, insecureRegistries: ['10.0.0.0/8'], certificateDirectories: [] };
  const lookup = async (name: string) => (name === 'ten.example' ? ['10.1.2.3'] : ['192.0.2.1']);
  const client = new RegistryClient(() => settings, Date.now, lookup);
  const schemes = async (domain: string): Promise<string[]> =>
    (await client.repository(domain, 'app')).sessions('pull').map(({ endpoint }) => endpoint.base);
  expect(await schemes('ten.example:5000')).toEqual(['https://ten.example:5000/v2', 'http://ten.example:5000/v2']);
  expect(await schemes('other.example')).toEqual(['https://other.example/v2']);
});
