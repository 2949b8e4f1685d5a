/** Answers what gateways ask for the devices at their doors: each question has one answerer, which main.ts names. */
import type { LineAsk, LineAsks } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';

export type Answerers = {
  readonly [K in LineAsk]?: (ask: LineAsks[K]['ask'], gateway: string) => Promise<LineAsks[K]['answer']>;
};

export class LineDesk {
  readonly #answerers: Answerers;

  constructor(answerers: Answerers) {
    this.#answerers = answerers;
  }

  /** `gateway` is who asks, for the audit. Faults `not-found` for a question that nobody here answers. */
  answer<K extends LineAsk>(
    kind: K,
    ask: LineAsks[K]['ask'],
    gateway: string,
  ): Promise<LineAsks[K]['answer']> {
    const answerer = this.#answerers[kind];
    if (!answerer) throw new Fault('not-found', `This registry does not answer "${kind}".`);
    return answerer(ask, gateway);
  }
}
