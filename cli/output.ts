/** What the command says: tables and colours in a terminal, plain lines in a pipe, one JSON document with --json. */
import { styleText } from 'node:util';

type Style = Parameters<typeof styleText>[0];

export interface Output {
  /** An answer: the document with --json, else the lines. */
  answer(document: unknown, lines: () => string[]): void;
  /** Something for a person who watches, on stderr; nothing with --json. */
  note(line: string): void;
}

/** Text in a style when stdout is a terminal that wants it. */
export const paint = (style: Style, text: string): string =>
  styleText(style, text, { stream: process.stdout });

export function openOutput(json: boolean): Output {
  return {
    answer(document, lines) {
      const text = json ? JSON.stringify(document, null, 2) : lines().join('\n');
      process.stdout.write(`${text}\n`);
    },
    note(line) {
      if (!json) process.stderr.write(`${line}\n`);
    },
  };
}

/** Rows under a heading; aligned in a terminal, tab-separated without a heading in a pipe. */
export function table(heading: readonly string[], rows: readonly (readonly unknown[])[]): string[] {
  const cells = rows.map((row) =>
    row.map((cell) => (cell === null || cell === undefined ? '-' : String(cell))),
  );
  if (!process.stdout.isTTY) return cells.map((row) => row.join('\t'));
  if (cells.length === 0) return [paint('dim', 'none')];
  const widths = heading.map((name, column) =>
    Math.max(name.length, ...cells.map((row) => row[column]!.length)),
  );
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd();
  return [paint('bold', line(heading)), ...cells.map(line)];
}

/** Names and values, one a line. */
export function facts(pairs: readonly (readonly [string, unknown])[]): string[] {
  const width = Math.max(...pairs.map(([name]) => name.length));
  return pairs.map(([name, value]) => `${paint('dim', name.padEnd(width))}  ${value ?? '-'}`);
}
