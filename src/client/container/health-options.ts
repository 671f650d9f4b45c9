/** `--health-*` of create and run: docker's, and probes and actions that only this engine has. */
import type { HealthConfig } from '#api/types/container.ts';
import { duration, type FlagValues, flag, integer, list, text } from '../flags/flag-spec.ts';

export const HEALTH_FLAGS = {
  'health-cmd': text('Command to run to check health'),
  'health-grpc': text('Check health by a gRPC health call of the engine: [ADDRESS:]PORT[/SERVICE]', {
    typeName: 'address',
  }),
  'health-http': text('Check health by an HTTP request of the engine: URL or PORT[/PATH]', { typeName: 'url' }),
  'health-interval': duration('Time between running the check (ms|s|m|h) (default 0s)'),
  'health-retries': integer('Consecutive failures needed to report unhealthy'),
  'health-start-interval': duration('Time between running the check during the start period (ms|s|m|h) (default 0s)'),
  'health-start-period': duration(
    'Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)',
  ),
  'health-tcp': text('Check health by a TCP connection of the engine: [ADDRESS:]PORT', { typeName: 'address' }),
  'health-timeout': duration('Maximum time to allow one check to run (ms|s|m|h) (default 0s)'),
  'health-unix': text('Check health by connecting to a unix socket of the container', { typeName: 'path' }),
  'no-healthcheck': flag('Disable any container-specified HEALTHCHECK'),
};

/** What may be reached: labels of containers, options of networks. */
const EGRESS_FLAGS = {
  egress: text('What no --egress-allow allows: "allow" or "deny"', { typeName: 'default' }),
  'egress-allow': list('Reachable outside: NAME, *.NAME, ADDRESS, NETWORK or host, with [:PORT[-PORT]][/PROTOCOL]'),
  'egress-deny': list('Not reachable outside, before what is allowed'),
};

/** And by whom. They can be changed at any time. */
export const POLICY_FLAGS = {
  ...EGRESS_FLAGS,
  'publish-policy': text('Published ports are reachable ("docker"), or where the host lets them in ("host-firewall")', {
    typeName: 'policy',
  }),
  'spoof-protection': flag('Drop packets with addresses of others', { initial: true }),
};

/** Of create and run: what is kept in labels. */
export const EXTENSION_FLAGS = {
  ...POLICY_FLAGS,
  'health-on-failure': text('What to do once the container turns unhealthy ("none", "restart", "stop", "kill")', {
    typeName: 'action',
  }),
  systemd: text(
    'Give the container what systemd needs as its first process ("true": when it is one, "always", "false")',
    {
      typeName: 'mode',
    },
  ),
  'restart-backoff': text('Waits between restarts by the policy: FIRST[,max=MAX][,factor=N][,reset=AFTER]', {
    typeName: 'waits',
  }),
};

type Values = FlagValues<typeof HEALTH_FLAGS>;

const HEALTH_ON_FAILURE_LABEL = 'berth.health.on-failure';
const RESTART_BACKOFF_LABEL = 'berth.restart.backoff';
const SYSTEMD_LABEL = 'berth.systemd';

export function healthOf(values: Values): HealthConfig | undefined {
  const tests = [
    ['CMD-SHELL', values['health-cmd']],
    ['HTTP', values['health-http']],
    ['TCP', values['health-tcp']],
    ['GRPC', values['health-grpc']],
    ['UNIX', values['health-unix']],
  ].filter(([, word]) => word !== '');
  const [test] = tests;
  if (tests.length > 1) throw new Error('only one of --health-cmd, -http, -tcp, -grpc and -unix can be given');
  const asked =
    test !== undefined ||
    values['health-interval'] !== 0 ||
    values['health-timeout'] !== 0 ||
    values['health-start-period'] !== 0 ||
    values['health-start-interval'] !== 0 ||
    values['health-retries'] !== 0;
  if (values['no-healthcheck']) {
    if (asked) throw new Error('--no-healthcheck conflicts with --health-* options');
    return { Test: ['NONE'] };
  }
  if (!asked) return undefined;
  for (const name of ['interval', 'timeout', 'start-period', 'start-interval'] as const) {
    if (values[`health-${name}`] < 0) throw new Error(`--health-${name} cannot be negative`);
  }
  if (values['health-retries'] < 0) throw new Error('--health-retries cannot be negative');
  return {
    ...(test === undefined ? {} : { Test: test }),
    Interval: values['health-interval'],
    Timeout: values['health-timeout'],
    StartPeriod: values['health-start-period'],
    StartInterval: values['health-start-interval'],
    Retries: values['health-retries'],
  };
}

/** Only what was asked for. `given`, of an update: what is the default may have been another before. */
export function policyWords(
  values: FlagValues<typeof POLICY_FLAGS>,
  given?: { has(flag: string): boolean },
): Record<string, string> {
  const guarded = given?.has('spoof-protection') === true ? 'true' : '';
  const words = {
    'berth.egress': values.egress,
    'berth.egress.allow': values['egress-allow'].join(','),
    'berth.egress.deny': values['egress-deny'].join(','),
    'berth.publish-policy': values['publish-policy'],
    'berth.spoof-protection': values['spoof-protection'] ? guarded : 'false',
  };
  return Object.fromEntries(Object.entries(words).filter(([, word]) => word !== ''));
}

/** What the API has no field for travels as labels. */
export function extensionLabels(values: FlagValues<typeof EXTENSION_FLAGS>): Record<string, string> {
  return {
    ...(values['health-on-failure'] === '' ? {} : { [HEALTH_ON_FAILURE_LABEL]: values['health-on-failure'] }),
    ...(values.systemd === '' ? {} : { [SYSTEMD_LABEL]: values.systemd }),
    ...policyWords(values),
    ...(values['restart-backoff'] === '' ? {} : { [RESTART_BACKOFF_LABEL]: values['restart-backoff'] }),
  };
}
