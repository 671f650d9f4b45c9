/** `version`. */
import { API_VERSION_MAX } from '#api/client/api-client.ts';
import { systemVersion } from '#api/client/system.ts';
import type { SystemVersion } from '#api/types/system.ts';
import { defineCommand } from '../command.ts';
import { inspectFormatFlag } from '../common-flags.ts';
import { describeFailure } from '../failure.ts';
import { goJson } from '../format/human.ts';
import { printTyped } from '../format/print-typed.ts';
import { VERSION } from '../version.ts';

const TYPES = {
  name: 'version',
  types: { '': 'system.versionInfo', Client: 'system.clientVersion', Server: '*types.Version' },
};
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

export const version = defineCommand({
  operands: '',
  count: [0, 0],
  flags: { format: inspectFormatFlag() },
  async run(context, { values }) {
    const client = context.client();
    let server: SystemVersion | undefined;
    let failure: unknown;
    try {
      server = await systemVersion(client);
    } catch (error) {
      failure = error;
    }
    const own = {
      Version: VERSION,
      ApiVersion: server === undefined ? API_VERSION_MAX : await client.version(),
      DefaultAPIVersion: API_VERSION_MAX,
      BunVersion: Bun.version,
      Os: process.platform,
      Arch: ARCHITECTURES[process.arch] ?? process.arch,
    };
    const both = { Client: own, Server: server === undefined ? null : withBuildTimes(server) };
    if (values.format === 'json') context.io.out(`${goJson(both)}\n`);
    else if (values.format !== '') printTyped(context, values.format, both, TYPES);
    else context.io.out(clientText(own) + (server === undefined ? '' : `\n${serverText(withBuildTimes(server))}`));
    if (failure === undefined) return 0;
    context.io.err(`${describeFailure(failure)}\n`);
    return 1;
  },
});

type Own = Readonly<Record<'Version' | 'ApiVersion' | 'DefaultAPIVersion' | 'BunVersion' | 'Os' | 'Arch', string>>;

function clientText(own: Own): string {
  const downgraded = own.ApiVersion === own.DefaultAPIVersion ? '' : ` (downgraded from ${own.DefaultAPIVersion})`;
  return section('Client', [
    ['Version', own.Version],
    ['API version', own.ApiVersion + downgraded],
    ['Bun version', own.BunVersion],
    ['OS/Arch', `${own.Os}/${own.Arch}`],
  ]);
}

function serverText(server: SystemVersion): string {
  const platform = server.Platform?.Name ?? '';
  let text = `Server:${platform === '' ? '' : ` ${platform}`}\n`;
  for (const { Name, Version, Details = {} } of server.Components ?? []) {
    const detail = (label: string, key: string): [string, string][] =>
      (Details[key] ?? '') === '' ? [] : [[label, Details[key] ?? '']];
    const lines: [string, string][] =
      Name === 'Engine'
        ? [
            ['Version', Version],
            ['API version', `${Details['ApiVersion'] ?? ''} (minimum version ${Details['MinAPIVersion'] ?? ''})`],
            ...detail('Go version', 'GoVersion'),
            ...detail('Bun version', 'BunVersion'),
            ...detail('Git commit', 'GitCommit'),
            ['Built', Details['BuildTime'] ?? ''],
            ['OS/Arch', `${Details['Os'] ?? ''}/${Details['Arch'] ?? ''}`],
            ...detail('Experimental', 'Experimental'),
          ]
        : [['Version', Version], ...Object.entries(Details)];
    text += section(` ${Name}`, lines, '  ');
  }
  if ((server.Components ?? []).length === 0) {
    text += section(
      ' Engine',
      [
        ['Version', server.Version],
        ['API version', server.ApiVersion],
      ],
      '  ',
    );
  }
  return text;
}

function section(title: string, lines: readonly (readonly [string, string])[], indent = ' '): string {
  const width = 19 - indent.length;
  return `${title}:\n${lines.map(([label, value]) => `${indent}${`${label}:`.padEnd(width)}${value}\n`).join('')}`;
}

/** The time of the engine's build is told as text, as docker's client does also to programs. */
function withBuildTimes(server: SystemVersion): SystemVersion {
  const Components = (server.Components ?? []).map((component) => {
    const built = component.Details?.['BuildTime'];
    if (component.Name !== 'Engine' || built === undefined) return component;
    return { ...component, Details: { ...component.Details, BuildTime: builtText(built) } };
  });
  return { ...server, Components };
}

/** As docker's: `Sun Nov 22 17:48:59 2026`, in the zone that the daemon tells. */
function builtText(time: string): string {
  const [, year = '', month = '', day = '', clock = ''] = /^(\d{4})-(\d\d)-(\d\d)T(\d\d:\d\d:\d\d)/.exec(time) ?? [];
  if (clock === '') return time;
  const at = new Date(Date.UTC(Number(year), Number(month) - 1, Number(day)));
  const [weekday = '', , name = ''] = at.toUTCString().replace(',', '').split(' ');
  return `${weekday} ${name} ${String(Number(day)).padStart(2)} ${clock} ${year}`;
}
