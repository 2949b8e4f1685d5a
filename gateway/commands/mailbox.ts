/**
 * The commands of one device on their way through this gateway. It holds no queue: what has no taker with room stays in the
 * registry and is asked for when there is room. What a taker holds when it leaves is asked for again.
 */
import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { type CommandOffer, mostCommands } from '#common/contract/command.ts';
import type { AskRegistry } from '#common/contract/enrollment.ts';
import type { DeviceId } from '#common/identity.ts';
import type { Progress } from './progress.ts';
import type { Place, Taker } from './taker.ts';

export interface MailboxParts {
  device: DeviceId;
  ask: AskRegistry;
  progress: Progress;
  clock: Clock;
  /** Nobody takes for the device any more. */
  empty(): void;
}

const retry = { firstMs: 500, limitMs: 30_000 };

export class Mailbox {
  readonly #parts: MailboxParts;
  readonly #takers: Taker[] = [];
  readonly #held = new Map<string, Taker>();
  /** Number of the last command that was handed over; all before it are held, delivered or over. */
  #after = 0;
  /** What waits is known: an offer is the next. */
  #known = false;
  /** The registry may have some after `#after`. */
  #behind = false;
  #asking = false;
  #failures = 0;

  constructor(parts: MailboxParts) {
    this.#parts = parts;
  }

  join(taker: Taker): Place {
    this.#takers.push(taker);
    if (this.#known) {
      if (this.#behind) this.#pump();
      else queueMicrotask(() => this.#tellNothing());
    }
    return {
      delivered: (id) => {
        if (this.#release(id, taker)) this.#parts.progress.delivered(id, this.#parts.device);
        this.#pump();
      },
      passOver: (id) => {
        this.#release(id, taker);
        this.#pump();
      },
      eased: () => this.#pump(),
      leave: () => this.#leave(taker),
    };
  }

  /** Whether something waits, as the registry answered after the mailbox was made, or when some offers may have been missed. */
  learn(waits: boolean): void {
    this.#known = true;
    this.#behind ||= waits;
    if (this.#behind) this.#pump();
    else this.#tellNothing();
  }

  offer(command: CommandOffer): void {
    if (command.number <= this.#after) return;
    const taker = this.#known && !this.#behind && !this.#asking ? this.#roomy() : undefined;
    if (taker) return this.#give(taker, command);
    this.#behind = true;
    this.#pump();
  }

  /** Whether the taker held it. */
  #release(id: string, taker: Taker): boolean {
    return this.#held.get(id) === taker && this.#held.delete(id);
  }

  #leave(taker: Taker): void {
    const at = this.#takers.indexOf(taker);
    if (at < 0) return;
    this.#takers.splice(at, 1);
    let held = false;
    for (const [id, holder] of this.#held) {
      if (holder !== taker) continue;
      this.#held.delete(id);
      held = true;
    }
    if (this.#takers.length === 0) return this.#parts.empty();
    if (!held) return;
    this.#after = 0;
    this.#behind = true;
    this.#pump();
  }

  #pump(): void {
    if (!this.#behind || !this.#known || this.#asking) return;
    const room = this.#takers.reduce((sum, taker) => sum + taker.room, 0);
    if (room > 0) void this.#fetch(Math.min(room, mostCommands));
  }

  /** Never rejects: a registry that is away is asked again for as long as somebody takes. */
  async #fetch(limit: number): Promise<void> {
    const { device, ask, progress, clock } = this.#parts;
    this.#asking = true;
    this.#behind = false;
    try {
      // What was acknowledged a moment ago is not to come again.
      await progress.flush();
      const { commands, more } = await ask('commands', { device, after: this.#after, limit });
      this.#failures = 0;
      if (more) this.#behind = true;
      for (const command of commands) if (!this.#take(command)) break;
      if (commands.length === 0 && !this.#behind) this.#tellNothing();
    } catch {
      this.#behind = true;
      this.#failures += 1;
      clock.after(backoffMs(retry, this.#failures), () => this.#resume());
      return;
    }
    this.#resume();
  }

  #resume(): void {
    this.#asking = false;
    this.#pump();
  }

  /** False when there is no room any more. */
  #take(command: CommandOffer): boolean {
    if (this.#held.has(command.id) || command.expiresMs <= this.#parts.clock.now()) {
      this.#after = Math.max(this.#after, command.number);
      return true;
    }
    const taker = this.#roomy();
    if (taker) this.#give(taker, command);
    else this.#behind = true;
    return taker !== undefined;
  }

  #give(taker: Taker, command: CommandOffer): void {
    this.#after = command.number;
    this.#held.set(command.id, taker);
    this.#parts.progress.handed(command);
    taker.give(command);
  }

  #roomy(): Taker | undefined {
    return this.#takers.find(({ room }) => room > 0);
  }

  #tellNothing(): void {
    for (const taker of [...this.#takers]) taker.nothing();
  }
}
