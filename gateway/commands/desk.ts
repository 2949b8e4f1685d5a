/**
 * The commands of this gateway: a mailbox for every device that takes some here, and the questions of many devices gathered
 * into few. Devices that do not listen cost nothing.
 */
import { backoffMs } from '#common/backoff.ts';
import type { Clock } from '#common/clock.ts';
import { type CommandOffer, mostCommandDevices } from '#common/contract/command.ts';
import type { AskRegistry } from '#common/contract/enrollment.ts';
import type { DeviceId } from '#common/identity.ts';
import type { Logger } from '#common/log.ts';
import { Mailbox } from './mailbox.ts';
import { Progress } from './progress.ts';
import { Resends } from './resends.ts';
import type { Place, Taker } from './taker.ts';

export interface CommandDeskParts {
  ask: AskRegistry;
  clock: Clock;
  log: Logger;
}

const retry = { firstMs: 500, limitMs: 30_000 };

export class CommandDesk implements AsyncDisposable {
  readonly #parts: CommandDeskParts;
  /** For sessions of MQTT that are kept. */
  readonly resends = new Resends();
  readonly #progress: Progress;
  readonly #mailboxes = new Map<DeviceId, Mailbox>();
  /** Devices of which it is to be found out whether something waits. */
  #unknown = new Set<DeviceId>();
  #asking = false;
  readonly #closing = new AbortController();

  constructor(parts: CommandDeskParts) {
    this.#parts = parts;
    this.#progress = new Progress(parts);
  }

  /** From now on the taker gets the commands of the device, those that wait first. */
  join(device: DeviceId, taker: Taker): Place {
    let mailbox = this.#mailboxes.get(device);
    if (!mailbox) {
      mailbox = this.#open(device);
      this.#unknown.add(device);
      void this.#findOut();
    }
    return mailbox.join(taker);
  }

  /** A command was committed; null: some may have been missed. */
  offer(command: CommandOffer | null): void {
    if (command) return this.#mailboxes.get(command.device)?.offer(command);
    for (const device of this.#mailboxes.keys()) this.#unknown.add(device);
    void this.#findOut();
  }

  /** A device says that it has a command, in other words than an acknowledgement of MQTT. */
  delivered(device: DeviceId, id: string): void {
    this.#progress.delivered(id, device);
  }

  /** Devices that take commands here. */
  get size(): number {
    return this.#mailboxes.size;
  }

  #open(device: DeviceId): Mailbox {
    const mailbox = new Mailbox({
      ...this.#parts,
      device,
      progress: this.#progress,
      empty: () => {
        if (this.#mailboxes.get(device) === mailbox) this.#mailboxes.delete(device);
      },
    });
    this.#mailboxes.set(device, mailbox);
    return mailbox;
  }

  /** One question at a time: while it is under way, the next gathers. Never rejects. */
  async #findOut(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    const { ask, clock, log } = this.#parts;
    const { signal } = this.#closing;
    // A turn of the loop, so that those that come together are asked for together.
    await new Promise<void>((resolve) => setImmediate(resolve));
    for (let failures = 0; this.#unknown.size > 0 && !signal.aborted; ) {
      const devices = [...this.#unknown].slice(0, mostCommandDevices);
      for (const device of devices) this.#unknown.delete(device);
      try {
        await this.#progress.flush();
        const answer = await ask('commands-waiting', { devices });
        failures = 0;
        const waiting = new Set(answer.devices);
        for (const device of devices) this.#mailboxes.get(device)?.learn(waiting.has(device));
      } catch {
        for (const device of devices) if (this.#mailboxes.has(device)) this.#unknown.add(device);
        failures += 1;
        if (failures === 1) log.warn({}, 'The registry cannot be asked for commands; asking it again.');
        await clock.sleep(backoffMs(retry, failures), signal);
      }
    }
    this.#asking = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#progress[Symbol.asyncDispose]();
  }
}
