/**
 * What every network driver must do, whatever it makes of it: run by each driver's tests (and by a fake's). Namespaces
 * come from the caller, which knows how to make them.
 */
import { describe, expect, test } from 'bun:test';
import type { NetworkGate } from '#libcontainer/namespaces/network-gate.ts';
import type { Endpoint, NetworkDriver } from '../driver.ts';

export interface ContractGate extends AsyncDisposable {
  readonly gate: NetworkGate;
}

export interface DriverFactory {
  /** A driver that is ready. */
  readonly make: () => Promise<NetworkDriver>;
  /** A process in a new network namespace, at its gate. */
  readonly gate: () => Promise<ContractGate>;
  /** What the driver has on the host, as text: the same before and after an endpoint's life. */
  readonly traces: () => string;
}

const container = (n: number): string => n.toString(16).padStart(64, '0');

export function driverContract(name: string, { make, gate, traces }: DriverFactory): void {
  describe(`${name}: contract of network drivers`, () => {
    test('endpoints are different, and say whose they are', async () => {
      const driver = await make();
      const endpoints = await Promise.all([1, 2, 3].map((n) => driver.allocate(container(n))));
      expect(new Set(endpoints.map((e) => e.id)).size).toBe(3);
      expect(endpoints.map((e) => e.containerId)).toEqual([1, 2, 3].map(container));
      const addresses = endpoints.flatMap((e) => e.address ?? []);
      expect(new Set(addresses.map((a) => a.ip)).size).toBe(addresses.length);
      expect(new Set(addresses.map((a) => a.mac)).size).toBe(addresses.length);
      for (const endpoint of endpoints) await driver.release(endpoint);
      await driver.close();
    });

    test('an endpoint is plain data: it survives a record', async () => {
      const driver = await make();
      const endpoint = await driver.allocate(container(1));
      expect(JSON.parse(JSON.stringify(endpoint)) as Endpoint).toEqual(endpoint);
      await driver.release(endpoint);
      await driver.close();
    });

    test('ensure and release are idempotent', async () => {
      const driver = await make();
      await driver.ensure();
      const endpoint = await driver.allocate(container(1));
      await driver.ensure();
      const other = await driver.allocate(container(2));
      expect(other.address?.ip).not.toBe(endpoint.address?.ip ?? 'none');
      for (const e of [endpoint, endpoint, other]) await driver.release(e);
      await driver.close();
    });

    test('join gives the namespace a loopback, and its end leaves nothing', async () => {
      const driver = await make();
      const before = traces();
      const endpoint = await driver.allocate(container(1));
      {
        await using child = await gate();
        await driver.join(endpoint, child.gate);
        const links = Bun.spawnSync(['nsenter', `--net=/proc/${child.gate.pid}/ns/net`, 'ip', '-br', 'link']);
        const lines = links.stdout.toString();
        if (driver.name !== 'host') expect(lines).toMatch(/^lo +UNKNOWN/);
        expect(lines.includes('eth0')).toBe(endpoint.address !== undefined);
      }
      await driver.release(endpoint);
      for (let i = 0; i < 200 && traces() !== before; i++) await Bun.sleep(10);
      expect(traces()).toBe(before);
      await driver.close();
    });

    test('release without join, and after the namespace has gone', async () => {
      const driver = await make();
      const before = traces();
      const endpoint = await driver.allocate(container(1));
      await driver.release(endpoint);
      const second = await driver.allocate(container(1));
      {
        await using child = await gate();
        await driver.join(second, child.gate);
      }
      await driver.release(second);
      for (let i = 0; i < 200 && traces() !== before; i++) await Bun.sleep(10);
      expect(traces()).toBe(before);
      await driver.close();
    });

    test('restore takes endpoints over from a driver that is gone', async () => {
      const first = await make();
      const endpoint = await first.allocate(container(1));
      await first.close();
      const second = await make();
      await second.restore([endpoint]);
      const other = await second.allocate(container(2));
      expect(other.address?.ip ?? 'a').not.toBe(endpoint.address?.ip ?? 'b');
      await second.release(endpoint);
      await second.release(other);
      await second.close();
    });
  });
}
