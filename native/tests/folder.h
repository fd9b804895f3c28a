// A folder of a test's own, gone with it.
#pragma once

#include <filesystem>
#include <random>
#include <string>

namespace hpc::test {

class Folder {
public:
    Folder() {
        std::random_device random;
        std::string name = "hpcnet-tests-";
        name.append(std::to_string(random()));
        path_ = std::filesystem::temp_directory_path() / name;
        std::filesystem::create_directories(path_);
    }
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

}  // namespace hpc::test
