import { describe, expect, test } from 'bun:test';
import * as fc from 'fast-check';
import { kindOf, messageOf } from '#errdefs/errors.ts';
import { decodeCreateRequest } from './container-create.ts';
import { decodeExecCreate, decodeExecStart } from './exec.ts';

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    expect(kindOf(error)).toBe('invalid-parameter');
    return messageOf(error);
  }
  throw new Error('was not refused');
}

const create = (body: unknown, minor = 51) => decodeCreateRequest(body, minor);

describe('POST /containers/create', () => {
  test('what was not sent has the zero value, in the order in which dockerd shows it', () => {
    const request = create({ Image: 'x' });
    expect(Object.keys(request).slice(0, 8)).toEqual([
      'Hostname',
      'Domainname',
      'User',
      'AttachStdin',
      'AttachStdout',
      'AttachStderr',
      'Tty',
      'OpenStdin',
    ]);
    expect(request.Cmd).toBeNull();
    expect(request.HostConfig.Binds).toBeNull();
    expect(request.HostConfig.Memory).toBe(0);
    expect(request.HostConfig.NetworkMode).toBe('default');
    expect(request.HostConfig.RestartPolicy).toEqual({ Name: '', MaximumRetryCount: 0 });
    expect('Init' in request.HostConfig).toBe(false);
    expect('Healthcheck' in request).toBe(false);
    expect(request.NetworkingConfig).toEqual({ EndpointsConfig: null });
  });

  test('names match without regard to case, unknown ones are ignored', () => {
    const request = create({ image: 'x', HOSTCONFIG: { memory: 5, Nonsense: 1 }, nonsense: {} });
    expect(request.Image).toBe('x');
    expect(request.HostConfig.Memory).toBe(5);
  });

  test('a command is a string or a list; an empty list stays one', () => {
    expect(create({ Image: 'x', Cmd: 'ls', Entrypoint: [] }).Cmd).toEqual(['ls']);
    expect(create({ Image: 'x', Entrypoint: [] }).Entrypoint).toEqual([]);
  });

  test('a wrong type is refused naming the field', () => {
    const cases: [unknown, string][] = [
      [{ HostConfig: { Memory: '64m' } }, 'string into Go struct field CreateRequest.HostConfig.Memory of type int64'],
      [
        { HostConfig: { Memory: 1.5 } },
        'number 1.5 into Go struct field CreateRequest.HostConfig.Memory of type int64',
      ],
      [
        { HostConfig: { BlkioWeight: 70000 } },
        'number 70000 into Go struct field CreateRequest.HostConfig.BlkioWeight of type uint16',
      ],
      [{ Env: 'A=b' }, 'string into Go struct field CreateRequest.Env of type []string'],
      [{ Env: [1] }, 'number into Go struct field CreateRequest.Env of type string'],
      [{ Tty: 'yes' }, 'string into Go struct field CreateRequest.Tty of type bool'],
      [{ Labels: ['a'] }, 'array into Go struct field CreateRequest.Labels of type map[string]string'],
      [{ HostConfig: [] }, 'array into Go struct field CreateRequest.HostConfig of type container.HostConfig'],
      [
        { HostConfig: { Mounts: [{ ReadOnly: 1 }] } },
        'number 1 into Go struct field CreateRequest.HostConfig.Mounts.ReadOnly of type bool',
      ],
      [[], 'array into Go value of type container.CreateRequest'],
    ];
    for (const [body, message] of cases) {
      expect(refusal(() => create(body))).toBe(`invalid JSON: json: cannot unmarshal ${message}`);
    }
  });

  test('no config at all is refused', () => {
    expect(refusal(() => create({}))).toBe('config cannot be empty in order to create a container');
    expect(refusal(() => create({ HostConfig: {} }))).toBe('config cannot be empty in order to create a container');
  });

  test('an unknown restart policy is refused', () => {
    expect(refusal(() => create({ Image: 'x', HostConfig: { RestartPolicy: { Name: 'maybe' } } }))).toContain(
      "unknown policy 'maybe'",
    );
  });

  test('0 and -1 are no pids limit', () => {
    for (const limit of [0, -1, null]) {
      expect(create({ Image: 'x', HostConfig: { PidsLimit: limit } }).HostConfig.PidsLimit).toBeNull();
    }
    expect(create({ Image: 'x', HostConfig: { PidsLimit: 7 } }).HostConfig.PidsLimit).toBe(7);
  });

  test('older clients mean older defaults', () => {
    const body = { Image: 'x', HostConfig: { Annotations: { a: 'b' }, ConsoleSize: [1, 2], KernelMemory: 5 } };
    expect(create(body, 38).HostConfig.IpcMode).toBe('shareable');
    expect(create(body, 40).HostConfig.IpcMode).toBe('');
    expect(create(body, 41).HostConfig.ConsoleSize).toEqual([0, 0]);
    expect(create(body, 42).HostConfig.Annotations).toBeUndefined();
    expect(create(body, 43).HostConfig.Annotations).toEqual({ a: 'b' });
    expect(create(body, 41).HostConfig.KernelMemory).toBe(5);
    expect(create(body, 42).HostConfig.KernelMemory).toBeUndefined();
    const health = { Image: 'x', Healthcheck: { Test: ['NONE'], StartInterval: 5 } };
    expect(create(health, 43).Healthcheck).toEqual({ Test: ['NONE'] });
    expect(create(health, 44).Healthcheck?.StartInterval).toBe(5);
  });

  test('networks that are null are there', () => {
    const request = create({ Image: 'x', NetworkingConfig: { EndpointsConfig: { bridge: null } } });
    expect(request.NetworkingConfig.EndpointsConfig?.['bridge']?.Aliases).toBeNull();
  });

  test('keys of maps are no names of ours', () => {
    const request = create(JSON.parse('{"Image":"x","Labels":{"__proto__":"a","constructor":"b"}}'));
    expect(Object.keys(request.Labels ?? {})).toEqual(['__proto__', 'constructor']);
    expect(Object.getPrototypeOf(request.Labels)).toBe(Object.prototype);
  });

  test('whatever JSON comes is decoded or refused as a parameter', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (host, labels) => {
        try {
          create({ Image: 'x', HostConfig: host, Labels: labels });
        } catch (error) {
          expect(kindOf(error)).toBe('invalid-parameter');
        }
      }),
    );
  });
});

describe('exec', () => {
  test('create needs a command', () => {
    expect(refusal(() => decodeExecCreate(undefined, 51))).toBe('No exec command specified');
    expect(decodeExecCreate({ Cmd: ['a'], ConsoleSize: [1, 2] }, 51).ConsoleSize).toEqual([1, 2]);
    expect(decodeExecCreate({ Cmd: ['a'], ConsoleSize: [1, 2] }, 41).ConsoleSize).toBeNull();
  });

  test('start: nothing means attached, a size only for a terminal', () => {
    expect(decodeExecStart(undefined, 51)).toEqual({ Detach: false, Tty: false, ConsoleSize: null });
    expect(decodeExecStart({ Tty: false, ConsoleSize: [3, 4] }, 51).ConsoleSize).toBeNull();
  });
});
