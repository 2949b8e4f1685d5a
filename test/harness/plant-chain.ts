/** A plant's CA, and devices below it: good chains, from which hostile ones are made by replacing a part. */

import { expect, test } from 'vitest';
import {
  altNames,
  cn,
  type Forged,
  forgeCa,
  forgeLeaf,
  nameConstraints,
  type Plan,
  rsaKeys,
} from './forged-certificate.ts';
import { type Chain, judgeChain } from './judged-chain.ts';

export const root = forgeCa({ subject: cn('Plant Root') });
export const issuing = forgeCa({ subject: cn('Plant Issuing') }, root);
export const rsaRoot = forgeCa({ subject: cn('Plant RSA Root'), keys: rsaKeys(2048) });
export const good = forgeLeaf({}, issuing);

/** A leaf under root and issuing CA, with parts of each replaced. */
export function chain(leaf: Plan, ca: Plan = {}, anchor: Plan = {}): Chain {
  const top = Object.keys(anchor).length === 0 ? root : forgeCa({ subject: cn('Plant Root'), ...anchor });
  const middle = forgeCa({ subject: cn('Plant Issuing'), ...ca }, top);
  return { leaf: forgeLeaf(leaf, middle).der, intermediates: [middle.der], anchors: [top.der] };
}
export const leafWith = (extensions: Plan['extensions']): Chain => chain({ extensions });
export const caWith = (extensions: Plan['extensions']): Chain => chain({}, { extensions });
export const anchorWith = (extensions: Plan['extensions']): Chain => chain({}, {}, { extensions });
export const named = (...names: readonly Buffer[]): Plan => ({ extensions: { altNames: altNames(names) } });
export const constrained = (permitted: readonly Buffer[], excluded: readonly Buffer[] = []): Plan => ({
  extensions: { nameConstraints: nameConstraints(permitted, excluded) },
});

/** Issuers one below the other. */
export function ladder(length: number, plan: (at: number) => Plan = () => ({})): Chain {
  const steps: Forged[] = [];
  for (let at = 0; at < length; at++) {
    steps.push(forgeCa({ subject: cn(`Step ${at}`), ...plan(at) }, steps.at(-1) ?? root));
  }
  const intermediates = steps.map(({ der }) => der);
  return { leaf: forgeLeaf({}, steps.at(-1)!).der, intermediates, anchors: [root.der] };
}

/** Each is refused with its word, within 50 ms, reading included; nothing is thrown. */
export function testHostile(table: readonly (readonly [string, string, () => Chain])[]): void {
  test('no two are alike', () => {
    expect(new Set(table.map(([what]) => what)).size).toBe(table.length);
  });
  test.each(table)('%s: %s', (_what, word, make) => {
    const hostile = make();
    // The work is the same each time; on a busy machine, the least of three says what it is.
    const judged = [1, 2, 3].map(() => judgeChain(hostile));
    expect(judged.map((each) => each.word)).toEqual([word, word, word]);
    expect(Math.min(...judged.map(({ tookMs }) => tookMs))).toBeLessThan(50);
  });
}
