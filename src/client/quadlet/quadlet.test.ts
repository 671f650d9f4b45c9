/** Quadlet files to unit texts, as systemd would get them. */
import { describe, expect, test } from 'bun:test';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { findSources } from './find-sources.ts';
import { type Generated, generateUnits } from './generate.ts';
import { parseUnitFiles } from './unit-file.ts';
import { commandLine, quoteWord, splitWords } from './words.ts';

function generate(files: Readonly<Record<string, string>>): Generated {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'quadlet-'));
  try {
    for (const [name, text] of Object.entries(files)) {
      const file = path.join(directory, name);
      fs.mkdirSync(path.dirname(file), { recursive: true });
      fs.writeFileSync(file, text);
    }
    const found = findSources([directory]);
    const made = generateUnits(found.sources, { program: '/bin/berth', deviceExists: (file) => file === '/dev/null' });
    const plain = (text: string) => text.replaceAll(directory, '/q');
    return {
      units: made.units.map((unit) => ({ ...unit, text: plain(unit.text) })),
      problems: [...found.problems, ...made.problems].map(plain),
    };
  } finally {
    fs.rmSync(directory, { recursive: true });
  }
}

function unit(files: Readonly<Record<string, string>>, name: string): string {
  const { units, problems } = generate(files);
  expect(problems).toEqual([]);
  return units.find((one) => one.name === name)?.text ?? '';
}

/** The line of one key of a `[Container]` with an image, between the name and the image. */
function options(...lines: readonly string[]): string {
  const text = unit({ 'c.container': ['[Container]', 'Image=img', ...lines].join('\n') }, 'c.service');
  return /^ExecStart=\/bin\/berth run --replace --rm --name systemd-%N (.*)$/m.exec(text)?.[1] ?? text;
}

describe('words', () => {
  test.each([
    ['a  b\tc', ['a', 'b', 'c']],
    [`"a b" 'c "d"' e"f g"h`, ['a b', 'c "d"', 'ef gh']],
    [String.raw`a\sb "c\nd" \x41 \u00e4 \101 \.`, ['a b', 'c\nd', 'A', 'ä', 'A', '\\.']],
    [`'' ""`, ['', '']],
    ['', []],
  ])('%s', (text, words) => {
    expect(splitWords(text)).toEqual(words);
    expect(splitWords(commandLine(words))).toEqual(words);
  });
  test('an open quotation is refused', () => {
    expect(() => splitWords('a "b')).toThrow('a quotation is not closed');
  });
  test('what separates commands or ends a line is quoted', () => {
    expect([';', '', 'a;b', 'x\ny', '%i', '$A'].map(quoteWord)).toEqual([
      '";"',
      '""',
      '"a;b"',
      String.raw`"x\ny"`,
      '%i',
      '$A',
    ]);
  });
});

describe('the file format', () => {
  test('continued lines, comments in them, the number of the first line', () => {
    const text = '# c\n\n[A]\n Key = one \\\n# inner\n  ; inner\n  two\nNext=\n[B]\nx=1\n[A]\nLast=3';
    const { sections, problems } = parseUnitFiles([{ file: 'f', text }]);
    expect(problems).toEqual([]);
    expect(sections.map(({ name, entries }) => [name, ...entries.map((e) => [e.line, e.key, e.value])])).toEqual([
      ['A', [4, 'Key', 'one two'], [8, 'Next', ''], [12, 'Last', '3']],
      ['B', [10, 'x', '1']],
    ]);
  });
  test('what is neither is told with its line', () => {
    expect(parseUnitFiles([{ file: 'f', text: 'a=1\n[A]\nword' }]).problems).toEqual([
      'f:1: key "a" is outside of a section',
      'f:3: neither a section nor Key=value: "word"',
    ]);
  });
});

test('a container with a volume and a network', () => {
  const files = {
    'web.container': `[Unit]
Description=Web
After=data.volume other.service
[Container]
Image=nginx:1
Volume=data.volume:/data:ro
Network=app.network:ip=10.1.0.9,mac=02:00:00:00:00:01
Exec=nginx -g "daemon off;"
[Service]
Restart=always
[Install]
WantedBy=multi-user.target
`,
    'data.volume': '[Volume]\nCopy=no\nDevice=tmpfs\nType=tmpfs\nOptions=size=1m\nLabel=a=b "c=d e"\n',
    'app.network': '[Network]\nNetworkName=app\nSubnet=10.1.0.0/24\nGateway=10.1.0.1\nInternal=true\nIPv6=yes\n',
  };
  const { units, problems } = generate(files);
  expect(problems).toEqual([]);
  expect(units.map(({ name, links }) => [name, links])).toEqual([
    ['app-network.service', []],
    ['data-volume.service', []],
    ['web.service', [{ path: 'multi-user.target.wants/web.service', target: '../web.service' }]],
  ]);
  expect(unit(files, 'web.service')).toBe(`# Made by berth quadlet generate from /q/web.container

[Unit]
SourcePath=/q/web.container
Wants=network-online.target
After=network-online.target
Requires=berth.service
After=berth.service
Requires=data-volume.service
After=data-volume.service
Requires=app-network.service
After=app-network.service
Description=Web
After=data-volume.service other.service

[X-Container]
Image=nginx:1
Volume=data.volume:/data:ro
Network=app.network:ip=10.1.0.9,mac=02:00:00:00:00:01
Exec=nginx -g "daemon off;"

[Service]
Type=exec
KillMode=mixed
SuccessExitStatus=143
SyslogIdentifier=%N
Restart=always
ExecStart=/bin/berth run --replace --rm --name systemd-%N --volume systemd-data:/data:ro,nocopy --network name=app,ip=10.1.0.9,mac-address=02:00:00:00:00:01 nginx:1 nginx -g "daemon off;"
ExecStop=-/bin/berth stop systemd-%N
ExecStopPost=-/bin/berth rm -f -v systemd-%N

[Install]
WantedBy=multi-user.target
`);
  expect(unit(files, 'data-volume.service')).toContain(`[Service]
Type=oneshot
RemainAfterExit=yes
SyslogIdentifier=%N
ExecStart=/bin/berth volume create --opt device=tmpfs --opt type=tmpfs --opt o=size=1m --label a=b --label "c=d e" systemd-data
`);
  expect(unit(files, 'app-network.service')).toContain(
    'ExecStart=/bin/berth network create --ignore --subnet 10.1.0.0/24 --gateway 10.1.0.1 --internal --ipv6 app\n',
  );
});

test.each([
  ['AddCapability=NET_ADMIN SYS_TIME', '--cap-add NET_ADMIN --cap-add SYS_TIME img'],
  ['DropCapability=all', '--cap-drop all img'],
  ['AddDevice=-/dev/no:/dev/x', 'img'],
  ['AddDevice=-/dev/null:/dev/x', '--device /dev/null:/dev/x img'],
  ['Environment=A=1 "B=two words"', '--env A=1 --env "B=two words" img'],
  ['EnvironmentFile=./e', '--env-file /q/e img'],
  ['EnvironmentFile=%h/e', '--env-file %h/e img'],
  ['Volume=./d:/d', '--volume /q/d:/d img'],
  ['Volume=/anonymous', '--volume /anonymous img'],
  ['Network=host', '--network host img'],
  ['PublishPort=80:80\nPublishPort=\nPublishPort=81:81', '--publish 81:81 img'],
  ['User=1\nGroup=2', '--user 1:2 img'],
  ['HealthCmd=curl -f "x"\nHealthRetries=2', String.raw`--health-retries 2 --health-cmd "curl -f \"x\"" img`],
  ['HealthCmd=none', '--no-healthcheck img'],
  ['ReadOnly=true\nTmpfs=/run:size=1m', '--tmpfs /run:size=1m --read-only --tmpfs /tmp --tmpfs /var/tmp img'],
  ['ReadOnly=true\nReadOnlyTmpfs=false', '--read-only img'],
  ['RunInit=yes\nNoNewPrivileges=1', '--init --security-opt no-new-privileges img'],
  ['Unmask=ALL\nSeccompProfile=/s', '--security-opt seccomp=/s --security-opt systempaths=unconfined img'],
  ['Entrypoint=["/a","b"]\nExec=c', '--entrypoint /a img b c'],
  ['Secret=token,type=env,target=T', '--secret token,type=env,target=T img'],
  ['PodmanArgs=--cpus 2\nBerthArgs="--label=a b"', '--cpus 2 "--label=a b" img'],
  ['StopTimeout=20\nStopSignal=SIGINT\nPidsLimit=9', '--pids-limit 9 --stop-signal SIGINT --stop-timeout 20 img'],
  ['Notify=false', 'img'],
])('%s', (lines, expected) => {
  expect(options(lines)).toBe(expected);
});

test.each([
  ['Foo=1', '/q/c.container:3: key "Foo" in [Container]: is not supported'],
  ['Notify=healthy', '/q/c.container:3: key "Notify" in [Container]: "healthy" is not supported'],
  ['Mask=/a', '/q/c.container:3: key "Mask" in [Container]: further masked paths cannot be expressed'],
  ['Unmask=/proc/a', '/q/c.container:3: key "Unmask" in [Container]: only ALL can be expressed'],
  ['Group=1', '/q/c.container:3: key "Group" in [Container]: is given without User'],
  ['Volume=no.volume:/x', '/q/c.container:3: key "Volume" in [Container]: there is no file no.volume'],
  ['ReadOnly=maybe', '/q/c.container:3: key "ReadOnly" in [Container]: "maybe" is neither true nor false'],
  ['Exec="a', '/q/c.container:3: key "Exec" in [Container]: a quotation is not closed'],
  ['Entrypoint=[1]', '/q/c.container:3: key "Entrypoint" in [Container]: is no list of strings in JSON'],
  ['[Service]\nType=notify', '/q/c.container:4: key "Type" in [Service]: must be one of exec, simple, oneshot'],
  ['[Install]\nWantedBy=../../x', '/q/c.container: [Install]: "../../x.wants/c.service" cannot be linked'],
  ['[Install]\nAlias=../x', '/q/c.container: [Install]: "../x" cannot be linked'],
  ['[Unit]\nAfter=no.network', '/q/c.container:4: key "After" in [Unit]: there is no file no.network'],
])('%s is refused, other files are not', (lines, expected) => {
  const { units, problems } = generate({
    'c.container': `[Container]\nImage=i\n${lines}\n`,
    'good.container': '[Container]\nImage=i\n',
  });
  expect(problems).toHaveLength(1);
  expect(problems[0]).toStartWith(expected);
  expect(units.map((one) => one.name)).toEqual(['good.service']);
});

test('an image is needed; foreign kinds and two files of one service are told', () => {
  const { problems } = generate({
    'a.container': '[Container]\nServiceName=b\nImage=i',
    'b.container': '[Container]\nImage=i',
    'n.container': '[Container]\nExec=x',
    'x.pod': '[Pod]',
  });
  expect(problems).toEqual([
    '/q/x.pod: files of this kind are not supported',
    '/q/a.container: /q/b.container makes b.service, too',
    '/q/b.container: /q/a.container makes b.service, too',
    '/q/n.container: [Container]: no Image key is given',
  ]);
});

test('drop-ins: the nearer directory wins, a mistake is told of the drop-in', () => {
  const files = {
    'a-b.container': '[Container]\nImage=one\n',
    'container.d/10.conf': '[Container]\nLabel=from=kind\n',
    'a-.container.d/10.conf': '[Container]\nLabel=from=prefix\n',
    'a-.container.d/20.conf': '[Container]\nImage=two\n',
    'a-b.container.d/30.conf': '[Container]\nHostName=h\n',
  };
  expect(unit(files, 'a-b.service')).toContain('--label from=prefix --hostname h two\n');
  const { problems } = generate({ ...files, 'a-b.container.d/30.conf': '[Container]\n\nNope=1' });
  expect(problems).toEqual(['/q/a-b.container.d/30.conf:3: key "Nope" in [Container]: is not supported']);
});

test('templates are linked with their instance only', () => {
  const text = '[Container]\nImage=i\nExec=%i\n[Install]\nWantedBy=x.target\n';
  const links = (more: string) => generate({ 's@.container': text + more }).units.flatMap((one) => one.links);
  expect(links('')).toEqual([]);
  expect(links('DefaultInstance=1')).toEqual([{ path: 'x.target.wants/s@1.service', target: '../s@.service' }]);
});

test("another container's network is joined and waited for", () => {
  const text = unit(
    {
      'a.container': '[Container]\nImage=i\nContainerName=front\n',
      'b.container': '[Container]\nImage=i\nNetwork=a.container\n',
    },
    'b.service',
  );
  expect(text).toContain('Requires=a.service\nAfter=a.service\n');
  expect(text).toContain('--network container:front i\n');
});
