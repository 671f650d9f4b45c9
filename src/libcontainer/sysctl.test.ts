import { describe, expect, test } from 'bun:test';
import type { NamespaceType } from './spec.ts';
import { checkSysctl, sysctlPath } from './sysctl.ts';

const own = (...types: NamespaceType[]) => new Set(types);

describe('kernel parameters', () => {
  test('both spellings of a name', () => {
    expect(sysctlPath('net.ipv4.ip_forward')).toBe('sys/net/ipv4/ip_forward');
    expect(sysctlPath('net/ipv4/conf/eth0.100/forwarding')).toBe('sys/net/ipv4/conf/eth0.100/forwarding');
    expect(sysctlPath('net.ipv4.conf.eth0/100.forwarding')).toBe('sys/net/ipv4/conf/eth0.100/forwarding');
  });

  test('no way out of the tree', () => {
    for (const name of ['net/../../kernel/panic', 'net..x', '/net/x', '']) expect(() => sysctlPath(name)).toThrow();
  });

  test('only parameters of own namespaces', () => {
    expect(() => checkSysctl('net.core.somaxconn', own('network'))).not.toThrow();
    expect(() => checkSysctl('kernel.shmmax', own('ipc'))).not.toThrow();
    expect(() => checkSysctl('fs.mqueue.msg_max', own('ipc'))).not.toThrow();
    expect(() => checkSysctl('net.core.somaxconn', own('ipc'))).toThrow('no network namespace of its own');
    expect(() => checkSysctl('kernel.panic', own('network', 'ipc', 'uts'))).toThrow(
      'not in a separate kernel namespace',
    );
    expect(() => checkSysctl('vm.swappiness', own('network', 'ipc', 'uts'))).toThrow('not in a separate');
    expect(() => checkSysctl('kernel.hostname', own('uts'))).toThrow('hostname field');
  });
});
