import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import preact from '@preact/preset-vite';
import { defineConfig, type Plugin } from 'vite';

const app = fileURLToPath(new URL('.', import.meta.url));

/** All files the build is made of; tests are not. `tests/stale.rs` computes the same hash. */
function sourceHash(): string {
  const inSrc = readdirSync(join(app, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(app, join(entry.parentPath, entry.name)));
  const names = ['package-lock.json', 'package.json', 'router.html', 'store.html', 'tsconfig.json', 'vite.config.ts', ...inSrc]
    .filter((name) => !name.endsWith('.test.ts'))
    .sort((a, b) => (a < b ? -1 : 1));
  const hash = createHash('sha256');
  for (const name of names) {
    const bytes = readFileSync(join(app, name));
    hash.update(`${name} ${bytes.length}\n`).update(bytes);
  }
  return hash.digest('hex');
}

const recordSource: Plugin = {
  name: 'record-source',
  closeBundle: () => writeFileSync(join(app, '../assets/SOURCE'), `${sourceHash()}\n`),
};

// Two pages of one build: scraper-store's and alert-router's. Every URL in the output is relative, so
// that the pages work under any prefix.
export default defineConfig({
  base: './',
  plugins: [preact(), recordSource],
  server: {
    proxy: {
      '/api': process.env.FIREWATCH_API ?? 'http://127.0.0.1:9090',
      '/firewatch': process.env.FIREWATCH_API ?? 'http://127.0.0.1:9090',
    },
  },
  build: {
    outDir: '../assets',
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    rollupOptions: {
      input: { store: resolve(app, 'store.html'), router: resolve(app, 'router.html') },
      output: {
        entryFileNames: 'assets/[name]-[hash].js',
        chunkFileNames: 'assets/[name]-[hash].js',
        assetFileNames: 'assets/[name]-[hash][extname]',
      },
    },
  },
});
