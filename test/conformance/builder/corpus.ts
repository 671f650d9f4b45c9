/**
 * Dockerfiles of our own: each instruction and flag, and services of several stages. `peer` ones are built by dockerd's
 * classic builder too, and must come out alike; the others check themselves (`RUN test …`), since it does not know them.
 */
import { BASE } from '../../support/build-context.ts';

export interface Case {
  readonly name: string;
  readonly dockerfile: string;
  readonly files?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  /** Undefined: it builds. */
  readonly fails?: string;
}

const from = (...lines: readonly string[]): string => [`FROM ${BASE}`, ...lines, ''].join('\n');
const check = (condition: string): string => `RUN ${condition} || { ls -lR / 2>/dev/null | head -50; exit 1; }`;
const plain = (name: string, ...lines: readonly string[]): Case => ({ name, dockerfile: from(...lines) });
const tree = { 'a.txt': 'A\n', 'b.txt': 'B\n', 'd/x.c': 'x', 'd/y.h': 'y', 'd/e/z.c': 'z' };
const withTree = (name: string, ...lines: readonly string[]): Case => ({
  name,
  dockerfile: from(...lines),
  files: tree,
});

export const peer: readonly Case[] = [
  plain('env', 'ENV A=1 B="two words" C=three\\ words', 'ENV OLD the rest of it', 'ENV D=${A}x$B'),
  plain('env defaults', 'ENV A=${X:-default} B=${A:+set} C=${Y:+unset}'),
  plain('label', 'LABEL a=1 "b.c"="two words" d=\'single\'', 'LABEL a=2'),
  plain('expose', 'EXPOSE 80 443/tcp 53/udp 8000-8002'),
  plain('user', 'USER 1000', 'USER 1000:1000'),
  plain('cmd shell', 'CMD echo $HOME && true'),
  plain('cmd exec', 'CMD ["echo", "a b"]'),
  plain('entrypoint and cmd', 'ENTRYPOINT ["/bin/sh", "-c"]', 'CMD ["echo hi"]'),
  plain('entrypoint voids a cmd of before', 'CMD ["a"]', 'ENTRYPOINT ["b"]'),
  plain('shell', 'SHELL ["/bin/busybox", "sh", "-ec"]', 'RUN echo made > /made', 'CMD done'),
  plain('stopsignal', 'STOPSIGNAL SIGINT'),
  plain('healthcheck', 'HEALTHCHECK --interval=5s --timeout=3s --start-period=1m --retries=2 CMD test -e /x'),
  plain('healthcheck none', 'HEALTHCHECK CMD true', 'HEALTHCHECK NONE'),
  plain('healthcheck exec', 'HEALTHCHECK CMD ["true"]'),
  plain('volume', 'VOLUME /data /more', 'VOLUME ["/json", "/list"]'),
  plain('workdir', 'WORKDIR /a', 'WORKDIR b/c', 'RUN pwd > pwd.txt'),
  plain('workdir with a variable', 'ENV D=/var/lib/x', 'WORKDIR $D', 'RUN touch here'),
  plain('maintainer', 'MAINTAINER Somebody <some@body>'),
  plain('onbuild', 'ONBUILD RUN true', 'ONBUILD COPY . /app'),
  plain('arg', 'ARG A=default', 'ARG B', 'RUN echo "$A-$B" > /args'),
  { name: 'arg given', dockerfile: from('ARG A=default', 'RUN echo "$A" > /args'), args: ['--build-arg', 'A=given'] },
  { name: 'global arg', dockerfile: `ARG TAG=1\nFROM berth.test/busybox:$TAG\nARG TAG\nRUN echo "$TAG" > /tag\n` },
  plain('arg below env', 'ARG A=arg', 'ENV A=env', 'RUN echo $A > /a'),
  plain('run exec', 'RUN ["/bin/sh", "-c", "echo exec > /exec"]'),
  plain('run with continuation and comments', 'RUN echo one > /out && \\', '# a comment', '    echo two >> /out'),
  plain('run that deletes', 'RUN rm -r /var && mkdir /new', 'RUN rmdir /new'),
  plain('run that replaces a directory', 'RUN rm -rf /home && echo file > /home'),
  plain('run hard links', 'RUN echo x > /l1 && ln /l1 /l2 && ln -s /l1 /l3'),
  plain('run modes and owners', 'RUN touch /f && chown 5:6 /f && chmod 4751 /f && mkdir -m 1777 /t'),
  plain('run that changes nothing', 'RUN true', 'ENV A=1'),
  withTree('copy file', 'COPY a.txt /'),
  withTree('copy renamed', 'COPY a.txt /sub/renamed.txt'),
  withTree('copy several', 'COPY a.txt b.txt /both/'),
  withTree('copy directory', 'COPY d /d'),
  withTree('copy directory into a directory that is there', 'RUN mkdir /d && touch /d/old', 'COPY d /d/'),
  withTree('copy all', 'COPY . /all'),
  withTree('copy wildcards', 'COPY d/*.c ?.txt /w/'),
  withTree('copy class', 'COPY [ab].txt /w/'),
  withTree('copy json', 'COPY ["a.txt", "/with space/a.txt"]'),
  withTree('copy relative', 'WORKDIR /w', 'COPY a.txt ./', 'COPY b.txt sub/'),
  withTree('copy chown', 'COPY --chown=7:8 d /owned'),
  withTree('copy over a file', 'RUN echo old > /a.txt', 'COPY a.txt /a.txt'),
  withTree('copy with variables', 'ENV W=/var/w N=a', 'COPY ${N}.txt $W/'),
  {
    name: 'dockerignore',
    dockerfile: from('COPY . /all'),
    files: { ...tree, '.dockerignore': '*.txt\n!b.txt\nd/**/z.c\n# no\n' },
  },
  withTree('add file', 'ADD a.txt /added/'),
  {
    name: 'stages',
    dockerfile: `FROM ${BASE} AS one\nRUN echo 1 > /1\nFROM ${BASE}\nCOPY --from=one /1 /from-one\nCOPY --from=0 /1 /from-0\n`,
  },
  {
    name: 'stage from stage',
    dockerfile: `FROM ${BASE} AS base\nENV E=1\nRUN echo b > /b\nFROM base\nRUN echo $E > /e\n`,
  },
  {
    name: 'target',
    dockerfile: `FROM ${BASE} AS one\nENV ONE=1\nFROM one AS two\nRUN false\n`,
    args: ['--target', 'one'],
  },
  { name: 'copy from an image', dockerfile: `FROM scratch\nCOPY --from=${BASE} /etc/passwd /p\n` },
  { name: 'scratch', dockerfile: 'FROM scratch\nCOPY a.txt /a\nENV A=1\n', files: tree },
  { name: 'escape directive', dockerfile: `# escape=\`\nFROM ${BASE}\nRUN echo one \`\n  two > /out\n` },
  { name: 'lower case', dockerfile: `from ${BASE}\nenv a=b\nrun echo c > /c\n` },
  {
    name: 'service in the style of Go',
    dockerfile: `FROM ${BASE} AS build\nWORKDIR /src\nCOPY go.mod ./\nRUN cat go.mod > /deps\nCOPY . .\nRUN cat main.go /deps > /bin/app && chmod +x /bin/app\nFROM scratch\nCOPY --from=build /bin/app /app\nUSER 65532:65532\nEXPOSE 8080\nENTRYPOINT ["/app"]\n`,
    files: { 'go.mod': 'module x\n', 'main.go': 'package main\n' },
  },
  {
    name: 'service in the style of Node',
    dockerfile: `FROM ${BASE} AS deps\nWORKDIR /app\nCOPY package*.json ./\nRUN mkdir node_modules && cp package.json node_modules/dep\nFROM ${BASE}\nENV NODE_ENV=production\nWORKDIR /app\nCOPY --from=deps /app/node_modules ./node_modules\nCOPY src ./src\nCMD ["node", "src/index.js"]\n`,
    files: { 'package.json': '{}', 'package-lock.json': '{}', 'src/index.js': '1' },
  },
  {
    name: 'service in the style of Python',
    dockerfile: `FROM ${BASE}\nENV PYTHONUNBUFFERED=1\nWORKDIR /usr/src/app\nCOPY requirements.txt .\nRUN cat requirements.txt > installed\nCOPY . .\nEXPOSE 5000\nCMD ["python", "app.py"]\n`,
    files: { 'requirements.txt': 'flask\n', 'app.py': 'print()\n' },
  },
];

export const own: readonly Case[] = [
  plain(
    'run heredoc',
    'RUN <<EOF',
    'echo one > /h',
    'echo two >> /h',
    'EOF',
    check('[ "$(cat /h | tr -d "\\n")" = onetwo ]'),
  ),
  plain(
    'run heredoc script',
    'RUN <<EOF',
    '#!/bin/busybox sh',
    'echo script > /s',
    'EOF',
    check('grep script /s'),
    check('[ ! -e /dev/pipes ]'),
  ),
  plain(
    'copy heredoc',
    'ENV V=value',
    'COPY <<one <<"two" /h/',
    'v=$V',
    'one',
    'v=$V',
    'two',
    check('grep v=value /h/one'),
    check("grep 'v=.V' /h/two"),
  ),
  withTree(
    'copy chmod',
    'COPY --chmod=640 a.txt /m',
    'COPY --chmod=u=rwX,go=rX d /md',
    check('[ $(stat -c %a /m) = 640 ]'),
    check('[ $(stat -c %a /md/e) = 755 ]'),
    check('[ $(stat -c %a /md/x.c) = 644 ]'),
  ),
  withTree('copy parents', 'COPY --parents d/*.c d/./e/z.c /p/', check('[ -e /p/d/x.c ]'), check('[ -e /p/e/z.c ]')),
  withTree(
    'copy exclude',
    'COPY --exclude=*.h --exclude=e d /x',
    check('[ -e /x/x.c ]'),
    check('[ ! -e /x/y.h ]'),
    check('[ ! -e /x/e ]'),
  ),
  withTree('copy link', 'COPY --link a.txt /linked/', check('[ -e /linked/a.txt ]')),
  withTree(
    'mount bind of the context',
    'RUN --mount=type=bind,target=/ctx [ "$(cat /ctx/a.txt)" = A ] && ! touch /ctx/new',
    check('[ ! -e /ctx ]'),
  ),
  {
    name: 'mount bind of a stage',
    dockerfile: `FROM ${BASE} AS s\nRUN echo s > /s\n${from('RUN --mount=from=s,source=/s,target=/mnt/s grep s /mnt/s', check('[ ! -e /mnt ]'))}`,
  },
  {
    name: 'mount bind rw is thrown away',
    dockerfile: `FROM ${BASE} AS s\nRUN mkdir /s\n${from('RUN --mount=from=s,source=/s,target=/t,rw touch /t/new', 'RUN --mount=from=s,source=/s,target=/t [ ! -e /t/new ]')}`,
  },
  plain(
    'mount cache',
    'RUN --mount=type=cache,target=/c,id=corpus echo kept > /c/f',
    'RUN --mount=type=cache,target=/c2,id=corpus grep kept /c2/f',
    check('[ ! -e /c ]'),
  ),
  plain(
    'mount cache with owner',
    'RUN --mount=type=cache,target=/c,id=owned,uid=7,gid=8,mode=0700 [ "$(stat -c %u:%g:%a /c)" = 7:8:700 ]',
  ),
  plain(
    'mount tmpfs',
    'RUN --mount=type=tmpfs,target=/t,size=1m echo x > /t/x && grep "/t tmpfs" /proc/mounts',
    check('[ ! -e /t ]'),
  ),
  {
    name: 'mount secret',
    dockerfile: from(
      'RUN --mount=type=secret,id=s grep corpus /run/secrets/s',
      'RUN --mount=type=secret,id=s,env=S [ "$S" = corpus-secret ]',
      'RUN --mount=type=secret,id=s,target=/x,mode=0444,uid=9 [ $(stat -c %u:%a /x) = 9:444 ]',
      check('[ ! -e /run/secrets ]'),
    ),
    args: ['--secret', 'id=s,env=CORPUS_SECRET'],
  },
  {
    name: 'a secret that is required',
    dockerfile: from('RUN --mount=type=secret,id=none,required true'),
    fails: 'secret none: not found',
  },
  plain('a secret that is not', 'RUN --mount=type=secret,id=none [ ! -e /run/secrets/none ]'),
  plain('network none', 'RUN --network=none [ "$(ls /sys/class/net)" = lo ]'),
  {
    name: 'network host without entitlement',
    dockerfile: from('RUN --network=host true'),
    fails: 'network.host is not allowed',
  },
  {
    name: 'insecure without entitlement',
    dockerfile: from('RUN --security=insecure true'),
    fails: 'security.insecure is not allowed',
  },
  {
    name: 'insecure by entitlement',
    dockerfile: from(
      'RUN --security=insecure mount -t tmpfs t /mnt 2>/dev/null || mkdir /mnt && mount -t tmpfs t /mnt',
    ),
    args: ['--allow', 'security.insecure'],
  },
  plain('the default is no privilege', 'RUN ! mount -t tmpfs t /tmp'),
  {
    name: 'add-host, shm-size, ulimit',
    dockerfile: from(
      'RUN grep "10.9.8.7.*some.host" /etc/hosts',
      'RUN grep -q "size=32768k" /proc/mounts',
      'RUN [ $(ulimit -n) = 77 ]',
    ),
    args: ['--add-host', 'some.host:10.9.8.7', '--shm-size', '32m', '--ulimit', 'nofile=77:77'],
  },
  {
    name: 'proxies are seen and not kept',
    dockerfile: from('RUN [ "$HTTP_PROXY" = http://p ]'),
    args: ['--build-arg', 'HTTP_PROXY=http://p'],
  },
  plain(
    'platform arguments',
    'ARG TARGETARCH',
    'ARG TARGETOS',
    'ARG BUILDPLATFORM',
    'RUN [ "$TARGETOS" = linux ] && [ -n "$TARGETARCH" ] && [ -n "$BUILDPLATFORM" ]',
  ),
  plain(
    'expansion with patterns',
    'ENV A=foo.bar.baz',
    'ENV B=${A#*.} C=${A##*.} D=${A%.*} E=${A/bar/qux}',
    check('[ "$B $C $D $E" = "bar.baz baz foo.bar foo.qux.baz" ]'),
  ),
  {
    name: 'foreign platform',
    dockerfile: from('RUN true'),
    args: ['--platform', 'linux/s390x'],
    fails: 'failed to build',
  },
  { name: 'a source that is not there', dockerfile: from('COPY none /'), fails: '"/none": not found' },
  { name: 'a source above the context', dockerfile: from('COPY ../../etc/shadow /s'), fails: 'not found' },
  { name: 'unknown flag', dockerfile: from('COPY --nosuch=1 a /'), fails: 'unknown flag' },
  {
    name: 'devices are refused',
    dockerfile: from('RUN --device=vendor.com/x=y true'),
    fails: 'RUN --device is not supported',
  },
];
