/**
 * All quadlet files to all units: pure, so that what systemd would get can be tested as text. A file with a mistake
 * makes no unit and is told; the others are made all the same.
 */
import { translateContainer } from './container.ts';
import { installLinks, type Link } from './install.ts';
import { type Source, type Surroundings, lastValue, SECTION_OF, sectionOf, type Translation } from './source.ts';
import { translateNetwork, translateVolume } from './storage.ts';
import type { Entry, Section } from './unit-file.ts';

export interface Unit {
  /** `web.service`. */
  readonly name: string;
  readonly text: string;
  readonly links: readonly Link[];
}

export interface Generated {
  readonly units: readonly Unit[];
  readonly problems: readonly string[];
}

const TRANSLATE = { container: translateContainer, volume: translateVolume, network: translateNetwork };
/** Keys of [Unit] that may name other quadlet files. */
const DEPENDENCIES = [
  'After',
  'Before',
  'BindsTo',
  'Conflicts',
  'PartOf',
  'Requires',
  'Requisite',
  'Upholds',
  'Wants',
] as const;

export function generateUnits(
  sources: readonly Source[],
  o: { readonly program: string; deviceExists(path: string): boolean },
): Generated {
  const around: Surroundings = { ...o, find: (name) => sources.find((source) => source.name === name) };
  const units: Unit[] = [];
  const problems: string[] = [];
  for (const source of sources) {
    const translation = TRANSLATE[source.kind](source, around);
    const wrong = [...translation.problems];
    const twin = sources.find((other) => other !== source && other.service === source.service);
    if (twin !== undefined) wrong.push(`${source.file}: ${twin.file} makes ${source.service}, too`);
    const text = unitText(source, translation, around, wrong);
    const { links, problems: unlinkable } = installLinks(source);
    wrong.push(...unlinkable);
    if (wrong.length === 0) units.push({ name: source.service, text, links });
    problems.push(...wrong);
  }
  return { units, problems };
}

type Line = readonly [key: string, value: string];

function unitText(source: Source, translation: Translation, around: Surroundings, problems: string[]): string {
  const own = SECTION_OF[source.kind];
  const network = lastValue(sectionOf(source.sections, 'Quadlet'), 'DefaultDependencies') ?? 'true';
  const unit: Line[] = [['SourcePath', source.file]];
  if (!/^(?:0|no|n|false|f|off)$/i.test(network)) {
    unit.push(['Wants', 'network-online.target'], ['After', 'network-online.target']);
  }
  for (const needed of ['berth.service', ...new Set(translation.needs)]) {
    unit.push(['Requires', needed], ['After', needed]);
  }
  const blocks = [
    block('Unit', [...unit, ...linesOf(sectionOf(source.sections, 'Unit'), around, problems)]),
    block(`X-${own}`, (sectionOf(source.sections, own)?.entries ?? []).map(asLine)),
    block('Service', serviceLines(source, translation, problems)),
  ];
  for (const section of source.sections) {
    if (!['Unit', 'Service', own, 'Quadlet'].includes(section.name)) {
      blocks.push(block(section.name, section.entries.map(asLine)));
    }
  }
  return `# Made by berth quadlet generate from ${source.file}\n\n${blocks.join('\n')}`;
}

const asLine = ({ key, value }: Entry): Line => [key, value];

function block(name: string, lines: readonly Line[]): string {
  return `[${name}]\n${lines.map(([key, value]) => `${key}=${value}\n`).join('')}`;
}

/** [Unit] with the names of quadlet files replaced by those of their units. */
function linesOf(section: Section | undefined, around: Surroundings, problems: string[]): Line[] {
  return (section?.entries ?? []).map((entry): Line => {
    if (!DEPENDENCIES.some((key) => key === entry.key)) return asLine(entry);
    const names = entry.value.split(/\s+/).map((name) => {
      if (!/\.(?:container|volume|network)$/.test(name)) return name;
      const other = around.find(name);
      if (other === undefined) {
        problems.push(`${entry.file}:${entry.line}: key "${entry.key}" in [Unit]: there is no file ${name}`);
      }
      return other?.service ?? name;
    });
    return [entry.key, names.join(' ')];
  });
}

/** What the file says stands last, so that it wins; but the kind of service and its commands are ours. */
function serviceLines(source: Source, translation: Translation, problems: string[]): Line[] {
  const given = sectionOf(source.sections, 'Service')?.entries ?? [];
  const container = source.kind === 'container';
  const allowed = container ? ['exec', 'simple', 'oneshot'] : ['oneshot'];
  for (const { key, value, file, line } of given) {
    const refuse = (reason: string) => problems.push(`${file}:${line}: key "${key}" in [Service]: ${reason}`);
    if (key === 'Type' && !allowed.includes(value)) refuse(`must be one of ${allowed.join(', ')}, not "${value}"`);
    if (key === 'ExecStart') refuse('is made from the file');
    if (key === 'KillMode' && container && !['mixed', 'control-group'].includes(value)) {
      refuse(`must be mixed or control-group, not "${value}"`);
    }
  }
  const standing: Line[] = container
    ? [
        ['Type', 'exec'],
        // The client hands SIGTERM on to the container; 143 is what a program gives that it has ended.
        ['KillMode', 'mixed'],
        ['SuccessExitStatus', '143'],
        ['SyslogIdentifier', '%N'],
      ]
    : [
        ['Type', 'oneshot'],
        ['RemainAfterExit', 'yes'],
        ['SyslogIdentifier', '%N'],
      ];
  const set = new Set(given.map((entry) => entry.key));
  return [...standing.filter(([key]) => !set.has(key)), ...given.map(asLine), ...translation.service];
}
