#include "tools/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "hugepool/version.h"
#include "tools/check.h"
#include "tools/subcommand.h"
#include "topology/system_files.h"

namespace hugepool::tools {
namespace {

// "--need, --json, …" of one verb, or the verbs themselves.
std::string Allowed(const CLI::App& app) {
  std::string text;
  const auto add = [&text](const std::string& name) { text += (text.empty() ? "" : ", ") + name; };
  for (const CLI::App* verb : app.get_subcommands({})) add(verb->get_name());
  for (const CLI::Option* option : app.get_options()) add(option->get_name());
  return text;
}

// The arguments that nothing takes: "'--ned', '4G'".
std::string Extras(const CLI::App& app) {
  std::string extras;
  for (const std::string& extra : app.remaining(true)) {
    extras += (extras.empty() ? "" : ", ") + internal::Quoted(extra);
  }
  return extras;
}

void Explain(const CLI::App& app, const std::string& message, std::ostream& err) {
  const CLI::App* verb = &app;
  std::string name = app.get_name();
  if (const auto named = app.get_subcommands(); !named.empty()) {
    verb = named.front();
    name += " " + verb->get_name();
  }
  err << fmt::format("{}: {}. Allowed: {}. See `{} --help`.\n", name, message, Allowed(*verb), name);
}

}  // namespace

ExitCode RunCommandLine(const std::string& program, const std::vector<std::string>& arguments, std::ostream& out,
                        std::ostream& err) {
  CLI::App app("Checks what this machine offers a pool on huge pages.", "hugepool");
  app.set_version_flag("--version", std::string("hugepool ") + HUGEPOOL_VERSION_STRING);
  app.require_subcommand(1);
  app.footer(
      "Exit codes of every subcommand:\n"
      "  0  all is well; with --need: it fits\n"
      "  1  not as it should be, and the command on the last line puts it right\n"
      "  2  bad usage: the message names the value, what is allowed and the mend\n"
      "  3  this machine cannot, now or ever, or it cannot be read\n"
      "\n"
      "Examples:\n"
      "  hugepool check                             what there is\n"
      "  hugepool check --need 4G                   does an engine with a 4 GiB cache fit?\n"
      "  hugepool check --need node0=1G,node1=2G    the same, node by node");
  const std::vector<Subcommand> subcommands = {AddCheck(app, program)};

  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    out << app.help() << '\n';  // of the subcommand, if one is named
    return ExitCode::kHealthy;
  } catch (const CLI::CallForVersion& version) {
    out << version.what() << '\n';
    return ExitCode::kHealthy;
  } catch (const CLI::RequiredError&) {
    const std::string extras = Extras(app);
    Explain(app, extras.empty() ? "no subcommand is named" : extras + " is no subcommand", err);
    return ExitCode::kBadInput;
  } catch (const CLI::ExtrasError&) {
    Explain(app, Extras(app) + " is not known", err);
    return ExitCode::kBadInput;
  } catch (const CLI::ParseError& error) {
    std::string message = error.what();
    std::replace(message.begin(), message.end(), '\n', ' ');
    Explain(app, message, err);
    return ExitCode::kBadInput;
  }
  for (const Subcommand& subcommand : subcommands) {
    if (subcommand.app->parsed()) return subcommand.run(out, err);
  }
  Explain(app, "no subcommand is named", err);
  return ExitCode::kBadInput;
}

}  // namespace hugepool::tools
