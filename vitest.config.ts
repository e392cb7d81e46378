import { defineConfig } from 'vitest/config';
import { projects } from './tooling/harness/src/projects.js';

export default defineConfig({ test: { projects: await projects() } });
