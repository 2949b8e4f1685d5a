/** Durations (`90s`, `5m`, `250ms`) and sizes (`64KiB`, `10MB`), as people write them in configuration and flags. */
import { Fault } from './fault.ts';

const durationUnits: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const sizeUnits: Record<string, number> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
};

export const durationPattern = '^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)$';
export const sizePattern = '^[0-9]+(\\.[0-9]+)?(B|KB|MB|GB|KiB|MiB|GiB)$';

function parse(text: string, pattern: string, units: Record<string, number>, hint: string): number {
  const match = new RegExp(pattern).exec(text);
  const unit = match && units[text.replace(/^[0-9.]+/, '')];
  if (!unit) throw new Fault('malformed', `"${text}" is not ${hint}.`);
  return Math.round(Number.parseFloat(text) * unit);
}

/** Milliseconds of `90s` and the like. Faults `malformed`. */
export const parseDuration = (text: string): number =>
  parse(text, durationPattern, durationUnits, 'a duration such as 250ms, 90s, 5m, 12h or 30d');

/** Bytes of `64KiB` and the like. Faults `malformed`. */
export const parseSize = (text: string): number =>
  parse(text, sizePattern, sizeUnits, 'a size such as 512B, 64KiB or 10MB');
