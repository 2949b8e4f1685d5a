/** The report of a simulation, opened as its reader opens it: in a browser, from a file, without a network. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { command, House } from '../harness/house.ts';
import { sh, withPrograms } from '../harness/peer-program.ts';

withPrograms(['chromium'], 'the report of a simulation', () => {
  test('is one file, draws its charts, and holds the figures that the table had', async () => {
    await using house = await House.start();
    const report = join(house.dir, 'run.html');
    const said = execFileSync(
      process.execPath,
      [
        command,
        'simulate',
        ...['--data', join(house.dir, 'data'), '--devices', '20', '--connect-rate', '50', '--rate', '100'],
        ...[
          '--duration',
          '3s',
          '--identities',
          join(house.dir, 'ids'),
          '--verify',
          '--report',
          report,
          '--json',
        ],
      ],
      { encoding: 'utf8' },
    );
    const result = JSON.parse(said) as { verdict: string };
    expect(result.verdict).toMatch(/every acknowledged one arrived/);
    // One file: nothing is loaded from anywhere.
    expect(readFileSync(report, 'utf8')).not.toMatch(/(src|href)="?https?:/);
    const dom = sh(
      `chromium --headless --no-sandbox --disable-gpu --virtual-time-budget=3000 --host-resolver-rules='MAP * 127.0.0.1:1' --dump-dom 'file://${report}' 2>/dev/null`,
      house.dir,
    );
    expect(dom.match(/<canvas/g)?.length ?? 0).toBeGreaterThanOrEqual(3);
    expect(dom).toContain('class="u-over"');
    expect(dom).toContain(result.verdict);
  });
});
