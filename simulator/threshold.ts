/** Thresholds as people write them: `connect.p99<2s`, `puback.p50<=20ms`, `errors<1`, `lost==0`. */
import { Fault } from '#common/fault.ts';
import { parseDuration } from '#common/quantity.ts';

export interface Threshold {
  readonly text: string;
  /** `connect.p99`, `errors`, … */
  readonly name: string;
  readonly operator: '<' | '<=' | '>' | '>=' | '==';
  /** Milliseconds for timings. */
  readonly value: number;
}

const grammar = /^([a-z]+(?:\.(?:p50|p95|p99|p999|mean|max))?)\s*(<=|>=|==|<|>)\s*([0-9.]+[a-z]*)$/;

/** Faults `malformed`, naming what may be written. */
export function parseThreshold(text: string, names: readonly string[]): Threshold {
  const [, name = '', operator = '', amount = ''] = grammar.exec(text.trim()) ?? [];
  if (!names.includes(name)) {
    throw new Fault(
      'malformed',
      `"${text}" is no threshold. Write for example connect.p99<2s; there are ${names.join(', ')}.`,
    );
  }
  const value = /[a-z]$/.test(amount) ? parseDuration(amount) : Number(amount);
  return { text, name, operator: operator as Threshold['operator'], value };
}

export function holds({ operator, value }: Threshold, actual: number): boolean {
  switch (operator) {
    case '<':
      return actual < value;
    case '<=':
      return actual <= value;
    case '>':
      return actual > value;
    case '>=':
      return actual >= value;
    case '==':
      return actual === value;
  }
}
