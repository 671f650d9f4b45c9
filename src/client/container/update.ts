/** `update`: docker's flags, and what can be changed beyond them: ports, environment, labels, healthcheck, back-off, log options. */
import { updateContainer } from '#api/client/containers.ts';
import type { RestartBackoff } from '#api/types/container.ts';
import type { BerthUpdate, ContainerUpdateRequest } from '#api/types/update.ts';
import { defineCommand, ExitError } from '../command.ts';
import { forEachName } from '../each.ts';
import { bytes, duration, integer, list, nanoDecimal, text, unsigned } from '../flags/flag-spec.ts';
import type { ParsedFlags } from '../flags/parse-flags.ts';
import { restartOf } from './create-body.ts';
import { HEALTH_FLAGS, healthOf, POLICY_FLAGS, policyWords } from './health-options.ts';
import { parsePublished } from './port-option.ts';
import { changes, checkVariable } from './variables.ts';

const flags = {
  'blkio-weight': unsigned('Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)', 16),
  'cpu-period': integer('Limit CPU CFS (Completely Fair Scheduler) period'),
  'cpu-quota': integer('Limit CPU CFS (Completely Fair Scheduler) quota'),
  'cpu-rt-period': integer('Limit the CPU real-time period in microseconds'),
  'cpu-rt-runtime': integer('Limit the CPU real-time runtime in microseconds'),
  'cpu-shares': integer('CPU shares (relative weight)', { shorthand: 'c' }),
  cpus: nanoDecimal('Number of CPUs'),
  'cpuset-cpus': text('CPUs in which to allow execution (0-3, 0,1)'),
  'cpuset-mems': text('MEMs in which to allow execution (0-3, 0,1)'),
  memory: bytes('Memory limit', { shorthand: 'm' }),
  'memory-reservation': bytes('Memory soft limit'),
  'memory-swap': bytes('Swap limit equal to memory plus swap: -1 to enable unlimited swap', { allowUnlimited: true }),
  'pids-limit': integer('Tune container pids limit (set -1 for unlimited)'),
  restart: text('Restart policy to apply when a container exits'),
  env: list('Set environment variables', { shorthand: 'e', check: checkVariable }),
  'unset-env': list('Take environment variables away', { check: checkVariable }),
  label: list('Set meta data on a container', { shorthand: 'l' }),
  'unset-label': list('Take meta data away'),
  'log-opt': list('Log driver options'),
  'unset-log-opt': list('Take log driver options away'),
  'restart-first-wait': duration('Wait before the first restart by the policy; doubled for each further one'),
  'restart-max-wait': duration('Longest wait before a restart by the policy'),
  'restart-steady-after': duration('The waits begin anew after so long a run'),
  'publish-add': list("Publish a container's port(s) to the host while it runs"),
  'publish-rm': list('Take published ports back: [IP:][HOSTPORT:]PORT[/PROTOCOL]'),
  ...POLICY_FLAGS,
  revision: integer('Refuse the change when the container has another revision'),
  ...HEALTH_FLAGS,
};
type Input = ParsedFlags<typeof flags>;

export const update = defineCommand({
  operands: 'CONTAINER [CONTAINER...]',
  count: [1, Infinity],
  flags,
  examples: [
    'berth update --cpus 1.5 --memory 512m --memory-swap 1g web',
    'berth update --publish-add 8081:80 --publish-rm 8080:80 web',
    'berth update --env MODE=fast --label tier=1 web',
  ],
  run: async (context, input) => {
    if (input.given.size === 0) throw new ExitError(1, 'you must provide one or more flags when using this command');
    const body = bodyOf(input, context.environment);
    const warnings: string[] = [];
    const code = await forEachName(context, input.positionals, async (name) => {
      const response = await updateContainer(context.client(), name, body);
      warnings.push(...(response.Warnings ?? []));
    });
    for (const warning of warnings) context.io.out(`${warning}\n`);
    return code;
  },
});

function bodyOf(
  input: Input,
  environment: Readonly<Record<string, string | undefined>>,
): Partial<ContainerUpdateRequest> {
  const { values, given } = input;
  const own = ownOf(input, environment);
  return {
    BlkioWeight: values['blkio-weight'],
    CpuShares: values['cpu-shares'],
    NanoCpus: values.cpus,
    CpuPeriod: values['cpu-period'],
    CpuQuota: values['cpu-quota'],
    CpuRealtimePeriod: values['cpu-rt-period'],
    CpuRealtimeRuntime: values['cpu-rt-runtime'],
    CpusetCpus: values['cpuset-cpus'],
    CpusetMems: values['cpuset-mems'],
    Memory: values.memory,
    MemoryReservation: values['memory-reservation'],
    MemorySwap: values['memory-swap'],
    ...(given.has('pids-limit') ? { PidsLimit: values['pids-limit'] } : {}),
    ...(given.has('restart') ? { RestartPolicy: restartOf(values.restart) } : {}),
    ...(Object.keys(own).length === 0 ? {} : { Berth: own }),
  };
}

function ownOf({ values, given }: Input, environment: Readonly<Record<string, string | undefined>>): BerthUpdate {
  const healthcheck = healthOf(values);
  const env = [
    ...values['unset-env'].map((entry) => entry.split('=', 1)[0] ?? ''),
    // A bare NAME takes the value that it has here.
    ...values.env.map((entry) => (entry.includes('=') ? entry : `${entry}=${environment[entry] ?? ''}`)),
  ];
  const policy = Object.entries(policyWords(values, given)).map(([key, word]) => `${key}=${word}`);
  const labels = changes([...values.label, ...policy], values['unset-label']);
  const logs = changes(values['log-opt'], values['unset-log-opt']);
  const backoff = backoffOf(values);
  const { bindings } = parsePublished(values['publish-add']);
  return {
    ...(env.length === 0 ? {} : { Env: env }),
    ...(labels === undefined ? {} : { Labels: labels }),
    ...(logs === undefined ? {} : { LogOptions: logs }),
    ...(healthcheck === undefined ? {} : { Healthcheck: healthcheck }),
    ...(values['publish-add'].length === 0 ? {} : { PublishAdd: bindings }),
    ...(values['publish-rm'].length === 0 ? {} : { PublishRemove: [...values['publish-rm']] }),
    ...(Object.keys(backoff).length === 0 ? {} : { RestartBackoff: backoff }),
    ...(given.has('revision') ? { Revision: values.revision } : {}),
  };
}

const NANOSECONDS_PER_MILLISECOND = 1_000_000;

function backoffOf(values: Input['values']): RestartBackoff {
  const ms = (nanoseconds: number): number => Math.round(nanoseconds / NANOSECONDS_PER_MILLISECOND);
  const [first, most, steady] = [
    values['restart-first-wait'],
    values['restart-max-wait'],
    values['restart-steady-after'],
  ];
  return {
    ...(first === 0 ? {} : { FirstMs: ms(first) }),
    ...(most === 0 ? {} : { MaxMs: ms(most) }),
    ...(steady === 0 ? {} : { SteadyAfterMs: ms(steady) }),
  };
}
