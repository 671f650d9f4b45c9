/** Rules about how a Dockerfile is written: casing, names, comments, old forms. They need no variables. */
import type { Dockerfile, FromInstruction, Instruction, Stage } from './instructions.ts';
import type { LintInput, Warn } from './lint-input.ts';

export function lintFile({ file }: LintInput, warn: Warn): void {
  casing(file, warn);
  stageNames(file.stages, warn);
  for (const { end } of file.emptyContinuations) {
    warn('NoEmptyContinuation', { start: { line: end.line, column: 1 }, end }, 'Empty continuation line');
  }
  for (const arg of file.globalArgs)
    description(
      arg,
      'ARG',
      arg.args.map(({ name }) => name),
      warn,
    );
  for (const stage of file.stages) {
    const name = stage.from.stage;
    description(stage.from, 'FROM', name === undefined ? [] : [name], warn);
    for (const instruction of stage.instructions) {
      if (instruction.keyword === 'ARG') {
        description(
          instruction,
          'ARG',
          instruction.args.map(({ name: arg }) => arg),
          warn,
        );
      } else if (instruction.keyword === 'MAINTAINER') {
        const detail = 'Maintainer instruction is deprecated in favor of using label';
        warn('MaintainerDeprecated', instruction.range, detail);
      } else if ((instruction.keyword === 'ENV' || instruction.keyword === 'LABEL') && instruction.legacy) {
        const { keyword } = instruction;
        const detail = `"${keyword} key=value" should be used instead of legacy "${keyword} key value" format`;
        warn('LegacyKeyValueFormat', instruction.range, detail);
      }
    }
    repeated(stage, warn);
  }
}

const isLower = (word: string) => word === word.toLowerCase();
const isUpper = (word: string) => word === word.toUpperCase();

/** Upper or lower, whichever most of the consistently written instructions are. */
function casing(file: Dockerfile, warn: Warn): void {
  const all: readonly Instruction[] = file.stages.flatMap(({ from, instructions }) => [from, ...instructions]);
  const lower = all.filter(({ written }) => isLower(written)).length;
  const upper = all.filter(({ written }) => isUpper(written)).length;
  const wanted = lower > upper ? 'lowercase' : 'uppercase';
  for (const { written, range } of all) {
    if (wanted === 'lowercase' ? isLower(written) : isUpper(written)) continue;
    const detail = `Command '${written}' should match the case of the command majority (${wanted})`;
    warn('ConsistentInstructionCasing', range, detail);
  }
}

const reserved: ReadonlySet<string> = new Set(['scratch', 'context']);

function stageNames(stages: readonly Stage[], warn: Warn): void {
  const seen = new Set<string>();
  for (const { from } of stages) {
    asCasing(from, warn);
    const { stage, stageWritten, range } = from;
    if (stage === undefined) continue;
    if (stage !== stageWritten) warn('StageNameCasing', range, `Stage name '${stageWritten}' should be lowercase`);
    if (reserved.has(stage)) {
      const detail = `Stage name should not use the same name as reserved stage ${JSON.stringify(stage)}`;
      warn('ReservedStageName', range, detail);
    }
    if (seen.has(stage)) {
      const detail = `Duplicate stage name ${JSON.stringify(stage)}, stage names should be unique`;
      warn('DuplicateStageName', range, detail);
    }
    seen.add(stage);
  }
}

function asCasing({ written, asWritten, range }: FromInstruction, warn: Warn): void {
  if (asWritten === undefined || (!isLower(written) && !isUpper(written))) return;
  if (isLower(written) ? isLower(asWritten) : isUpper(asWritten)) return;
  warn('FromAsCasing', range, `'${asWritten}' and '${written}' keywords' casing do not match`);
}

/** The comment directly above an ARG or FROM begins with the name that it describes. */
function description(instruction: Instruction, keyword: string, names: readonly string[], warn: Warn): void {
  const last = instruction.comments.at(-1);
  const [first] = names;
  if (last === undefined || first === undefined || names.includes(last.split(' ')[0] ?? '')) return;
  // Directives stand where comments stand and describe nothing.
  if (/^(?:syntax|escape|check)\s*=/i.test(last)) return;
  const name = names.length > 1 ? '<arg_key>' : first;
  const detail = `Comment for ${keyword} should follow the format: \`# ${name} <description>\``;
  warn('InvalidDefinitionDescription', instruction.range, detail);
}

/** Of these the last one in a stage counts, so the ones before it are for nothing. */
function repeated(stage: Stage, warn: Warn): void {
  for (const keyword of ['CMD', 'ENTRYPOINT', 'HEALTHCHECK'] as const) {
    const all = stage.instructions.filter((instruction) => instruction.keyword === keyword);
    for (const { range } of all.slice(0, -1)) {
      const why = 'should not be used in the same stage because only the last one will be used';
      warn('MultipleInstructionsDisallowed', range, `Multiple ${keyword} instructions ${why}`);
    }
  }
}
