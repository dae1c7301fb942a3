// SPDX-License-Identifier: MIT
/* NVRTC's part: device code is compiled for the host, by the compiler that made this. */
extern "C" {
#include "gpudirect/nvrtc.h"
}

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#define NVRTC extern "C" __attribute__((visibility("default")))

namespace files = std::filesystem;

struct rk_nvrtc_program {
	std::string source, log, code;
	std::vector<std::pair<std::string, std::string>> headers;
};

static std::string contents(const files::path &path)
{
	std::ostringstream text;

	text << std::ifstream(path, std::ios::binary).rdbuf();
	return text.str();
}

/* What device.h includes is the host's own. */
static bool is_of_the_host(const std::string &name)
{
	return name == "stdint.h" || name == "stddef.h";
}

static void write(const rk_nvrtc_program &program, const files::path &folder)
{
	for (auto &header : program.headers) {
		if (is_of_the_host(header.first))
			continue;
		files::create_directories((folder / header.first).parent_path());
		std::ofstream(folder / header.first) << header.second;
	}
	std::ofstream(folder / "module.cc")
		<< "#include \"device.h\"\n#include \"ptx.h\"\n" << program.source << "\n#include \"kernels.h\"\n";
}

NVRTC const char *nvrtcGetErrorString(int error)
{
	return error == RK_NVRTC_COMPILATION ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR";
}

NVRTC int nvrtcVersion(int *major, int *minor)
{
	*major = 13;
	*minor = 0;
	return 0;
}

NVRTC int nvrtcCreateProgram(rk_nvrtc_program **program, const char *source, const char *, int headers,
			     const char *const *texts, const char *const *names)
{
	*program = new rk_nvrtc_program{source, "", "", {}};
	for (int i = 0; i < headers; i++)
		(*program)->headers.emplace_back(names[i], texts[i]);
	return 0;
}

NVRTC int nvrtcDestroyProgram(rk_nvrtc_program **program)
{
	delete *program;
	*program = nullptr;
	return 0;
}

NVRTC int nvrtcCompileProgram(rk_nvrtc_program *program, int, const char *const *)
{
	char name[] = "/tmp/lanes-XXXXXX";
	files::path folder;
	int status;

	if (!mkdtemp(name))
		return RK_NVRTC_OUT_OF_MEMORY;
	folder = name;
	write(*program, folder);
	status = system(("cd " + folder.string() + " && " LANES_COMPILE " -I. -I" LANES_FOLDER
			 " -o module.so module.cc >log 2>&1")
				.c_str());
	program->log = contents(folder / "log");
	program->code = contents(folder / "module.so");
	files::remove_all(folder);
	return status ? RK_NVRTC_COMPILATION : 0;
}

NVRTC int nvrtcGetProgramLogSize(rk_nvrtc_program *program, size_t *bytes)
{
	*bytes = program->log.size() + 1;
	return 0;
}

NVRTC int nvrtcGetProgramLog(rk_nvrtc_program *program, char *text)
{
	program->log.copy(text, program->log.size());
	text[program->log.size()] = 0;
	return 0;
}

NVRTC int nvrtcGetCUBINSize(rk_nvrtc_program *program, size_t *bytes)
{
	*bytes = program->code.size();
	return 0;
}

NVRTC int nvrtcGetCUBIN(rk_nvrtc_program *program, char *code)
{
	program->code.copy(code, program->code.size());
	return 0;
}

NVRTC int nvrtcGetPTXSize(rk_nvrtc_program *, size_t *bytes)
{
	*bytes = 0;
	return 0;
}

NVRTC int nvrtcGetPTX(rk_nvrtc_program *, char *)
{
	return RK_NVRTC_COMPILATION;
}

NVRTC int nvrtcGetNumSupportedArchs(int *count)
{
	*count = 1;
	return 0;
}

NVRTC int nvrtcGetSupportedArchs(int *archs)
{
	*archs = 90;
	return 0;
}
