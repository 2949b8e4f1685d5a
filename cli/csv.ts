/** CSV as RFC 4180 has it, read strictly, a chunk at a time: a quote out of place is an error, never a guess. */
import { Fault } from '#common/fault.ts';

export interface CsvRecord {
  /** Of its first character, counting from 1. */
  readonly line: number;
  readonly fields: readonly string[];
}

type State = 'start' | 'plain' | 'quoted' | 'quote-in-quoted' | 'return';

/** Longest record, in characters: a quote that is never closed ends here. */
const longestRecord = 1_000_000;

/** Takes text by `push` and gives the records that are whole; `end` gives the last one. Both fault `malformed`. */
export class CsvReader {
  #state: State = 'start';
  #field = '';
  #fields: string[] = [];
  #line = 1;
  #recordLine = 1;
  #length = 0;

  push(chunk: string): CsvRecord[] {
    const records: CsvRecord[] = [];
    for (const character of chunk) {
      const record = this.#take(character);
      if (record) records.push(record);
    }
    return records;
  }

  end(): CsvRecord[] {
    if (this.#state === 'quoted') throw this.#bad('a quoted field is not closed');
    if (this.#state === 'return') throw this.#bad('a carriage return stands alone');
    const isEmpty = this.#state === 'start' && this.#fields.length === 0;
    return isEmpty ? [] : [this.#finishRecord()];
  }

  #take(character: string): CsvRecord | undefined {
    if (++this.#length > longestRecord) throw this.#bad(`a record has more than ${longestRecord} characters`);
    if (this.#state === 'return') {
      if (character !== '\n') throw this.#bad('a carriage return stands alone');
      return this.#finishLine();
    }
    if (this.#state === 'quoted') {
      if (character === '"') this.#state = 'quote-in-quoted';
      else this.#field += character;
      if (character === '\n') this.#line += 1;
      return undefined;
    }
    if (character === ',') {
      this.#finishField();
      return undefined;
    }
    if (character === '\n') return this.#finishLine();
    if (character === '\r') {
      this.#state = 'return';
      return undefined;
    }
    this.#takeText(character);
    return undefined;
  }

  /** At the beginning of a field, within a plain one, or after a quote within a quoted one. */
  #takeText(character: string): void {
    if (character === '"') {
      if (this.#state === 'plain') throw this.#bad('a quote stands within a field that is not quoted');
      if (this.#state === 'quote-in-quoted') this.#field += '"';
      this.#state = 'quoted';
      return;
    }
    if (this.#state === 'quote-in-quoted') throw this.#bad('something follows the quote that ends a field');
    this.#state = 'plain';
    this.#field += character;
  }

  #finishField(): void {
    this.#fields.push(this.#field);
    this.#field = '';
    this.#state = 'start';
  }

  /** A line with nothing on it is no record. */
  #finishLine(): CsvRecord | undefined {
    const isBlank = this.#fields.length === 0 && this.#length <= 2 && this.#field === '';
    const record = isBlank ? undefined : this.#finishRecord();
    this.#state = 'start';
    this.#length = 0;
    this.#line += 1;
    this.#recordLine = this.#line;
    return record;
  }

  #finishRecord(): CsvRecord {
    this.#finishField();
    const record = { line: this.#recordLine, fields: this.#fields };
    this.#fields = [];
    return record;
  }

  #bad(why: string): Fault {
    return new Fault('malformed', `CSV, line ${this.#line}: ${why}.`);
  }
}
