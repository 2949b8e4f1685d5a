/** The store passes the suite that aedes' own persistences have to pass, every case of it. */
import assert from 'node:assert';
import { createRequire } from 'node:module';
import { afterAll, describe, expect, test } from 'vitest';
import { Persistence } from '../../../../../gateway/mqtt/store/persistence.ts';
import { SessionFolder } from '../../../../harness/session-file.ts';

/** It comes without types. */
const abstractPersistence = createRequire(import.meta.url)('aedes-persistence/abstract.js') as (suite: {
  test: (name: string, run: (t: unknown) => Promise<void>) => void;
  persistence: () => Promise<Persistence>;
  testAsync: boolean;
}) => void;

const folders: SessionFolder[] = [];
afterAll(() => {
  for (const folder of folders) folder[Symbol.dispose]();
});

/** What the suite uses of node:test's context: assertions that are counted, and a plan of how many there will be. */
function context() {
  let planned: number | undefined;
  let made = 0;
  const counted = new Proxy(assert, {
    get(target, name: keyof typeof assert) {
      const assertion = target[name] as (...args: unknown[]) => unknown;
      return (...args: unknown[]) => {
        made += 1;
        return assertion(...args);
      };
    },
  });
  return {
    t: {
      assert: counted,
      plan: (count: number) => {
        planned = count;
      },
      diagnostic: () => {},
    },
    finish: () => {
      if (planned !== undefined) expect(made).toBe(planned);
    },
  };
}

let cases = 0;

describe('the abstract suite of aedes-persistence', () => {
  abstractPersistence({
    test: (name, run) => {
      cases += 1;
      test(name, async () => {
        const { t, finish } = context();
        await run(t);
        finish();
      });
    },
    persistence: async () => {
      const folder = new SessionFolder();
      folders.push(folder);
      return new Persistence(await folder.open());
    },
    testAsync: true,
  });
});

test('none of its cases is left out', () => {
  expect(cases).toBe(48);
});
