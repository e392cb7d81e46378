// @ts-check
import { basename } from 'node:path';
import { Comment, CommentTag, Converter, ParameterType, ReflectionKind } from 'typedoc';

/**
 * TypeDoc plugin: a package's `typedoc.json` says under `categories` which of its files hold what, and the reference
 * lists exports by those themes, in that order, rather than by classes, interfaces and functions.
 * @param {import('typedoc').Application} app
 */
export function load(app) {
  app.options.addDeclaration({
    name: 'categories',
    help: 'Names of source files, without .ts, by theme',
    type: ParameterType.Object,
    defaultValue: {},
  });
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    const categories = /** @type {Record<string, string[]>} */ (app.options.getValue('categories'));
    const themes = Object.entries(categories);
    if (themes.length === 0) return;
    app.options.setValue('categoryOrder', [...Object.keys(categories), '*']);
    for (const reflection of project.getReflectionsByKind(ReflectionKind.All)) {
      // A package with several entry points has a module for each.
      if (reflection.kindOf(ReflectionKind.Module)) continue;
      if (!reflection.parent?.kindOf([ReflectionKind.Project, ReflectionKind.Module])) continue;
      const { fileName = '' } = project.getSymbolIdFromReflection(reflection) ?? {};
      const file = basename(fileName, '.ts');
      const theme = themes.find(([, files]) => files.includes(file))?.[0];
      if (theme === undefined) {
        app.logger.warn(`${reflection.name}: typedoc.json has no category for ${file}.ts`);
        continue;
      }
      reflection.comment ??= new Comment();
      reflection.comment.blockTags.push(
        new CommentTag('@category', [{ kind: 'text', text: theme }]),
      );
    }
  });
}
