/** API calls that wait for what becomes of a command. In memory: a call ends with its connection, the command does not. */
import type { Cancel, Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import type { CommandRow } from '../store/tables.ts';

type Settle = (row: CommandRow | null) => void;

export class CommandWaits {
  readonly #clock: Clock;
  readonly #most: number;
  readonly #byCommand = new Map<string, Set<Settle>>();
  #count = 0;

  constructor(clock: Clock, most: number) {
    this.#clock = clock;
    this.#most = most;
  }

  /** Asked before the command is sent. Faults `unavailable` when as many wait as may. */
  mayBegin(): void {
    if (this.#count < this.#most) return;
    throw new Fault(
      'unavailable',
      `As many calls as may, ${this.#most}, wait for commands; send without wait, or try again.`,
      { retryAfterMs: 1_000 },
    );
  }

  /** The command when it has ended; null when the time is over or the caller has gone. Begun before it is sent. */
  begin(id: string, timeoutMs: number, gone: AbortSignal): Promise<CommandRow | null> {
    return new Promise((resolve) => {
      let cancel: Cancel = () => {};
      const settle: Settle = (row) => {
        cancel();
        gone.removeEventListener('abort', leave);
        this.#remove(id, settle);
        resolve(row);
      };
      const leave = () => settle(null);
      this.#count += 1;
      this.#byCommand.set(id, (this.#byCommand.get(id) ?? new Set()).add(settle));
      gone.addEventListener('abort', leave, { once: true });
      cancel = this.#clock.after(timeoutMs, leave);
      if (gone.aborted) leave();
    });
  }

  settle(row: CommandRow): void {
    for (const settle of [...(this.#byCommand.get(row.id) ?? [])]) settle(row);
  }

  get size(): number {
    return this.#count;
  }

  #remove(id: string, settle: Settle): void {
    const waiting = this.#byCommand.get(id);
    if (!waiting?.delete(settle)) return;
    this.#count -= 1;
    if (waiting.size === 0) this.#byCommand.delete(id);
  }
}
